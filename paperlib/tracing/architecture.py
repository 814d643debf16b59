"""What a network runs, whatever its weights: as long as that stays, what was recorded of the network holds."""

import weakref
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import torch
from torch import nn

PLAIN = {int, float, complex, bool, str, bytes, type(None), torch.dtype, torch.device, torch.Size}
OPAQUE = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type, nn.Module)  # changed only by replacing them
TORCHS_OWN = frozenset(vars(nn.Module()))  # attributes that every module has, `training` among them


class Same:
    """Stands for an object, equals a stand-in for the very same object only, and does not keep it alive."""

    def __init__(self, value):
        self.number = id(value)
        try:
            self.value = weakref.ref(value)
        except TypeError:
            self.value = lambda: value

    def __hash__(self):
        return self.number

    def __eq__(self, other):
        return isinstance(other, Same) and self.value() is not None and self.value() is other.value()


def kept(memory, model, place, make):
    """Return what `make()` found at a place for a network, found anew once the network runs other operations.

    memory: weak dictionary {network: {place: (architecture, what was found)}}.
    """
    known = memory.setdefault(model, {})
    found_of, found = known.get(place, (None, None))
    if found_of != architecture(model):
        found = make()
        known[place] = (architecture(model), found)  # a first run may have set what the network keeps
    return found


def architecture(model):
    """Return what decides on the operations that a network runs, to be compared: equal as long as only weights change.

    These are its modules, their classes, settings and hooks, the shapes and kinds of their tensors, and which tensors
    are the same one. Changes inside of functions, and of objects that an attribute's object holds, cannot be seen.
    """
    seen, parts = {}, []
    for name, module in model.named_modules(remove_duplicate=False):
        parts += [name, type(module), getattr(type(module), "forward", None)]
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            if hooks:
                parts.append(tuple(map(Same, hooks.values())))
        for path, tensor in (*module._parameters.items(), *module._buffers.items()):
            kind = tensor if tensor is None else (tensor.shape, tensor.dtype, tensor.device)
            parts.append((path, kind, seen.setdefault(id(tensor), len(seen))))
        for key, value in vars(module).items():
            if key not in TORCHS_OWN:
                parts.append((key, value if type(value) in PLAIN else _setting(value, seen)))
    return tuple(parts)


def _setting(value, seen, inside=False):
    """Return what counts of an attribute's value; seen: {id: number of a tensor, or this of an object's attributes}.

    inside: whether the value is held by such an object, or by a container, where only the very same tensor will do:
    what was recorded knows where a tensor is by the name of its attribute.
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, torch.Tensor):
        which = Same(value) if inside else seen.setdefault(id(value), len(seen))
        return (value.shape, value.dtype, value.device, which)
    if isinstance(value, dict):
        return kind, tuple((_setting(k, seen, True), _setting(v, seen, True)) for k, v in value.items())
    if isinstance(value, (tuple, list)):
        return kind, tuple(_setting(each, seen, True) for each in value)
    if isinstance(value, (set, frozenset)):
        return kind, frozenset(_setting(each, seen, True) for each in value)
    if isinstance(value, OPAQUE) or inside or not hasattr(value, "__dict__"):
        return Same(value)
    if id(value) not in seen:
        seen[id(value)] = (Same(value), _setting(vars(value), seen, True))
    return seen[id(value)]
