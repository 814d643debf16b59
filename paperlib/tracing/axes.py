"""The axes of clips, [B, C, T, H, W], in a network's tensors: which axis of a tensor holds time.

Every axis is a tuple of `Atom`s in row-major order, so that `flatten` joins atoms and `view` takes them apart again:
tokens [B, T * H * W, C], frames folded into the batch [B * T, C, H, W], windows of a Swin transformer, heads of an
attention. A class token is an entry in front of an axis that belongs to no place.
"""

import math
from dataclasses import dataclass, replace

SPACE = ("H", "W")
CLIPS = 2  # recorded together: an axis of one clip could not be told from others of length one


@dataclass(frozen=True)
class Part:
    """Which places of a longer axis another's entries are of: entry i of `low` + i `step` to `high` + i `step`.

    whole: places of the longer axis, 0 to whole - 1; those outside of it are padding.
    """

    low: int
    high: int
    step: int
    whole: int

    def moved(self, entries):
        """Return the part of an axis that begins so many entries later."""
        return replace(self, low=self.low + entries * self.step, high=self.high + entries * self.step)

    def covers(self, count):
        """Whether `count` entries go from one end of the longer axis to the other, so that they are all of it."""
        last, slack = self.moved(count - 1), self.step - 1
        return (
            -slack <= self.high
            and self.low <= slack
            and self.whole - self.step <= last.high
            and (last.low < self.whole + slack)
        )


@dataclass(frozen=True)
class Atom:
    """Part of an axis: `size` steps of `stride` along B, C, T, H or W; "" is an axis that is none of them.

    inner: the atoms of an axis with `before` entries in front that belong to no place (class tokens), or some behind.
    """

    label: str
    size: int
    stride: int = 1
    inner: tuple = ()
    before: int = 0
    moved: int = 0  # rolled by so many steps; -1: back to front
    whole: int = 0  # steps of the label altogether, where this is a part of them
    part: Part | None = None  # what was cut or padded to the axis that all these steps make up; None for all, in order


@dataclass(frozen=True)
class Tracked:
    """What is known of a tensor: its axes; the time step it was cut from (an Atom); whether space was averaged over."""

    axes: tuple
    step: Atom | None = None
    averaged: bool = False


def size(axis):
    """Return the length of an axis."""
    return math.prod(atom.size for atom in axis)


def regroup(axes, shape):
    """Return axes after a reshape to `shape`, None where atoms do not fit it."""
    atoms, found = [atom for axis in axes for atom in axis], []
    for place, length in enumerate(shape):
        axis, total = [], 1
        if length == 1 and atoms and atoms[0].size == 1:
            axis.append(atoms.pop(0))
        while total < length:
            if not atoms:
                return None
            atom, need = atoms.pop(0), length // total
            if atom.size > need and atom.size % need == 0 and not atom.inner:  # the larger steps come first
                rest, whole = atom.size // need, atom.whole or atom.size
                atoms.insert(0, replace(atom, size=rest, whole=whole))
                atom = replace(atom, size=need, stride=atom.stride * rest, whole=whole)
            elif need % atom.size:
                return None
            axis.append(atom)
            total *= atom.size
        if total != length:
            return None
        if atoms and atoms[0].label == "B" and atoms[0].size == 1 and shape[place + 1 : place + 2] != (1,):
            axis.append(atoms.pop(0))  # a single clip is folded into this axis, as two would be
        found.append(tuple(axis))
    if any(atom.size > 1 for atom in atoms):
        return None
    if atoms and found:
        found[-1] += tuple(atoms)
    return tuple(map(_merged, found))


def _merged(axis):
    """Return an axis with the neighbours joined that an earlier reshape took apart."""
    found = []
    for atom in axis:
        last = found[-1] if found else None
        alike = last and (last.label, last.moved, last.part) == (atom.label, atom.moved, atom.part)
        if alike and last.stride == atom.stride * atom.size:
            if not last.inner and not atom.inner:
                found[-1] = replace(atom, size=last.size * atom.size)
                continue
        found.append(atom)
    return tuple(found)


def stretched(axis, length):
    """Return an axis of another length whose entries still go from one end to the other, as a resized picture's do."""
    atom = _single(axis)
    if size(axis) == length:
        return axis
    if atom is None or atom.part and not atom.part.covers(atom.size):
        return (Atom("", length),)
    return _replaced(axis, atom, length, None)


def swept(axis, first, last, step, count):
    """Return an axis of `count` entries, entry i made of those from `first` + i `step` to `last` + i `step`.

    A slice has first = last, padding a negative one, a convolution its kernel. What goes over all of an axis, or keeps
    its length, is that axis again; what does not is a `Part` of it.
    """
    atom, n = _single(axis), size(axis)
    if count == n and (first < last or first == 0):
        return axis
    if atom is None:
        return (Atom("", count),)
    if atom.moved:  # back to front
        first, last = n - 1 - last - (count - 1) * step, n - 1 - first - (count - 1) * step
    old = atom.part or Part(0, 0, 1, n)
    part = Part(old.low + first * old.step, old.high + last * old.step, old.step * step, old.whole)
    return _replaced(axis, atom, count, part)


def joined(lengths, axes):
    """Return the axis of several, one after the other; None among them is padding. Unnamed where they do not follow.

    Several times all clips, as with views of each, are clips on an axis that is none of theirs.
    """
    total, at, start = sum(lengths), 0, None
    if len(axes) > 1 and axes[0] and len(set(axes)) == 1 and axes[0] == (Atom("B", lengths[0]),):
        return (Atom("", len(axes)), *axes[0])
    if {atom.label for axis in axes for atom in flat(axis or ())} - {""} == {"C"}:
        return (Atom("C", total),)
    for length, axis in zip(lengths, axes, strict=True):
        if axis is not None:
            atom = _single(axis)
            begin = atom and not atom.moved and (atom.label, (atom.part or Part(0, 0, 1, length)).moved(-at))
            if not begin or start not in (None, begin):
                return (Atom("", total),)
            start = begin
        at += length
    return _replaced((), Atom(start[0], total), total, start[1])


def together(axes):
    """Return the axis of a tensor made entry by entry of several that have these in one place.

    A whole one stays what it is; neighbouring parts, as of x[1:] - x[:-1], make up what a kernel over them does. One
    back to front beside one that is not is unnamed: an entry is of two places.
    """
    if len({any(atom.moved < 0 and atom.label != "C" for atom in flat(axis)) for axis in axes}) == 2:
        return (Atom("", size(axes[0])),)
    atoms = [_single(axis) for axis in axes]
    for axis, atom in zip(axes, atoms, strict=True):
        if len(set(axes)) == 1 or atom is None or not (atom.moved or atom.part):
            return axis
    parts = sorted((atom.part or Part(0, 0, 1, atom.size) for atom in atoms), key=lambda part: part.low)
    all_of = parts[0]
    for part in parts[1:]:
        beside = part.low <= all_of.high + all_of.step and (part.step, part.whole) == (all_of.step, all_of.whole)
        if not beside or any(atom.moved or atom.label != atoms[0].label for atom in atoms):
            return (Atom("", size(axes[0])),)
        all_of = replace(all_of, high=max(all_of.high, part.high))
    return _replaced(axes[0], atoms[0], atoms[0].size, all_of)


def _single(axis):
    """Return the atom of an axis of one label, not taken apart, beside atoms of size one; None for another axis."""
    large = [atom for atom in axis if atom.size > 1] or list(axis)
    if len(large) != 1 or not large[0].label or large[0].inner or large[0].moved > 0 or not unbroken(axis):
        return None
    return large[0]


def _replaced(axis, atom, count, part):
    """Return an axis with another number of entries in place of its one large atom; features are in any order."""
    part = None if atom.label == "C" or part and part.covers(count) and count <= part.whole else part
    new = Atom(atom.label, count, moved=atom.moved, part=part)
    return tuple(new if each is atom else each for each in axis) or (new,)


def unbroken(axis):
    """Whether an axis holds all of what it is labelled with."""
    return all(atom.stride == 1 and atom.whole in (0, atom.size) for atom in axis)


def flat(axis):
    """Return the atoms of an axis, those behind class tokens too."""
    return [part for atom in axis for part in (atom.inner or (atom,))]


def named(axis):
    return any(atom.label for atom in flat(axis))


def places(axis):
    """Return the labels among time, height and width that an axis holds."""
    return {atom.label for atom in flat(axis)} & {"T", *SPACE}


@dataclass(frozen=True)
class Layout:
    """How a tensor holds maps: of its axes' atoms, those of batch, features, time, height and width in this order."""

    axes: tuple
    steps: int
    height: int
    width: int
    averaged: bool

    def maps(self, values, batch):
        """Return a tensor of this layout as [batch, C, T', H', W']."""
        for dim, axis in enumerate(self.axes):
            if axis and axis[0].inner:
                values = values.narrow(dim, axis[0].before, size(axis[0].inner))
        atoms = [atom for axis in self.axes for atom in flat(axis)]
        sizes = [batch if atom.label == "B" else atom.size for atom in atoms]
        order = [
            i
            for label in "BCTHW"
            for i in sorted(range(len(atoms)), key=lambda i: -atoms[i].stride)
            if (atoms[i].label or "C") == label
        ]
        values = values.reshape(sizes).permute(order)
        return values.reshape(batch, -1, self.steps, self.height, self.width)


def layout(tracked):
    """Return the `Layout` of a tensor that holds maps in space, else None."""
    if not isinstance(tracked, Tracked):
        return None
    if any(atom.inner and len(axis) > 1 for axis in tracked.axes for atom in axis):
        return None
    atoms = [atom for axis in tracked.axes for atom in flat(axis)]
    if any(atom.moved or (not atom.label and atom.size > 1) for atom in atoms):
        return None
    try:
        batch, time, height, width = (whole_of([a for a in atoms if a.label == label]) for label in "BTHW")
    except ValueError:
        return None
    if batch != CLIPS or None in (height, width):
        return None
    return Layout(tracked.axes, time or 1, height, width, tracked.averaged)


def whole_of(atoms):
    """Return how many places the atoms of one label make up together, None without any.

    ValueError where they do not make up a whole: places are missing between them or at an end, or are padding.
    """
    large = sorted((atom for atom in atoms if atom.size > 1), key=lambda atom: atom.stride)
    total = 1
    for atom in large:
        if atom.stride != total:
            raise ValueError(f"stride {atom.stride} where {total} is next")
        total *= atom.size
    if large and large[-1].whole not in (0, total):
        raise ValueError(f"{total} places of {large[-1].whole}")
    if any(atom.part and not atom.part.covers(total) for atom in atoms):
        raise ValueError(f"{total} places that are a part of an axis")
    return total if atoms else None


def coarse(tracked):
    """Count a label in larger steps where its smaller ones have become features, as in a Swin's patch merging."""
    least = {}
    for axis in tracked.axes:
        for atom in flat(axis):
            least[atom.label] = min(atom.stride, least.get(atom.label, atom.stride))
    if all(stride == 1 or not label for label, stride in least.items()):
        return tracked

    def fewer(atom):
        step = least.get(atom.label, 1)
        inner = tuple(map(fewer, atom.inner))
        part = atom.part and replace(
            atom.part, high=atom.part.high + (step - 1) * atom.part.step, step=step * atom.part.step
        )
        return replace(atom, stride=atom.stride // step, whole=-(-atom.whole // step), part=part, inner=inner)

    return replace(tracked, axes=tuple(tuple(map(fewer, axis)) for axis in tracked.axes))
