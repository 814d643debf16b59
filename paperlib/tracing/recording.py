"""Record what a network computes as a list of tensor operations, with torch.export, and say plainly why it fails.

`torch.export` records below modules and Python: `+=`, in-place ReLU, functional pools, modules used twice, slices
written into a buffer all become plain ATen operations that produce new tensors.
"""

import contextlib
import inspect
import io
import linecache
import logging
import re
import threading
import traceback
import warnings
from pathlib import Path
from unittest import mock

import torch
from torch import fx
from torch.amp.autocast_mode import autocast

from ..errors import InputError
from . import cells
from .inputs import first_line
from .probing import evaluating

aten = torch.ops.aten
UNROLLED = [aten.lstm, aten.gru, aten.rnn_tanh, aten.rnn_relu]  # taken apart into their time steps
QUIET = ("torch._subclasses", "torch.export", "torch._dynamo", "torch.fx", "torch._export")
VALUES = "its Python code depends on tensor values"
INSTEAD = "use torch.where or a fixed size in its place"
NOT_THEIRS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<")

_one_at_a_time = threading.RLock()  # functions of torch are replaced meanwhile


def record(model, what, recorder, clip, rewritten=None):
    """Return the ExportedProgram of `recorder(clip)` in evaluation mode, without in-place operations.

    recorder: a module that runs `model` or one of its methods, which is called `what` in the errors.
    rewritten: names of operations; if given, only those make the program be rewritten, which takes longer than the
    recording, and others may stay in place. Raises InputError where the network's Python code does what cannot be
    recorded, naming the line.
    """
    with evaluating(model), torch.no_grad():
        try:
            with _one_at_a_time, quiet(), cells.apart(), _in_own_numbers():
                program = torch.export.export(recorder, (clip,), strict=False)
        except InputError:
            raise
        except Exception as error:  # torch's own account is long and meant for others
            why = _reason(model, error)
        else:
            _open(program.graph_module, program.graph_signature)
            return _rewritten(program, what, rewritten)
        try:  # a network that cannot run the clip says so best itself
            recorder(clip)
        except (InputError, torch.OutOfMemoryError):
            raise
        except Exception as own:
            raise InputError(f"{what} cannot run a clip of shape {tuple(clip.shape)}: {first_line(own)}") from own
    raise InputError(f"the operations of {what} cannot be recorded, since {why}")


@contextlib.contextmanager
def _in_own_numbers():
    """Let autocast in the network's code have no effect, since what is explained has the network's own numbers.

    So a tensor's type that the code asks for is that of these numbers, too. Other threads keep their autocast.
    """
    here, enter, leave = threading.get_ident(), autocast.__enter__, autocast.__exit__

    def entered(self):
        return self if threading.get_ident() == here else enter(self)

    def left(self, *error):
        return None if threading.get_ident() == here else leave(self, *error)

    with mock.patch.object(autocast, "__enter__", entered), mock.patch.object(autocast, "__exit__", left):
        yield


def _open(module, signature=None):
    """Put operations that ran with gradients switched among the others.

    signature: of the program, in which results have names.
    """
    for node in list(module.graph.nodes):
        if node.target is not torch.ops.higher_order.wrap_with_set_grad_enabled:
            continue
        at, body = next((i, x) for i, x in enumerate(node.args) if isinstance(x, fx.Node) and x.op == "get_attr")
        inner = getattr(module, body.target)
        _open(inner)
        given = dict(zip(inner.graph.find_nodes(op="placeholder"), node.args[at + 1 :], strict=True))
        with module.graph.inserting_before(node):
            results = module.graph.graph_copy(inner.graph, given)
        for user in list(node.users):
            found = results[user.args[1]]
            user.replace_all_uses_with(found)
            if signature is not None:
                signature.replace_all_uses(user.name, found.name)
            module.graph.erase_node(user)
        module.graph.erase_node(node)
    for node in module.graph.find_nodes(op="call_function", target=aten._assert_tensor_metadata.default):
        module.graph.erase_node(node)  # which gives nothing
    module.recompile()


def _rewritten(program, what, names):
    """Return the program without in-place operations and whole recurrent layers; all its sizes must be numbers."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        parts = value if isinstance(value, (tuple, list)) else [value]
        for part in parts:
            if isinstance(part, (torch.SymInt, torch.SymFloat, torch.SymBool)):
                raise InputError(
                    f"the operations of {what} cannot be recorded, since {VALUES}{_source(node)}; {INSTEAD}"
                )
            if isinstance(part, torch.Tensor) and not all(type(size) is int for size in part.shape):
                raise InputError(
                    f"the operations of {what} cannot be recorded, since the size of a tensor depends on tensor values"
                    f"{_source(node)}, as in y[:, mask]; index with numbers in place of a mask, or multiply by the mask"
                )
    if any(_needs_rewriting(node, names) for node in program.graph.nodes):
        with quiet():
            program = program.run_decompositions(torch._decomp.get_decompositions(UNROLLED))
    return program


def _needs_rewriting(node, names):
    """Whether an operation is one of `names`; for None, whether it writes into its inputs or is a recurrent layer."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or names is not None:
        return schema is not None and node.target.overloadpacket.__name__ in names
    return schema.is_mutable or node.target.overloadpacket in UNROLLED


@contextlib.contextmanager
def quiet():
    """Silence torch's own reports, graphs and advice; the error itself says what is wrong."""
    loggers = [logging.getLogger(name) for name in QUIET]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(model, error):
    """Say in a few words what in the network's code torch.export could not follow."""
    text, where = str(error), _theirs(error)
    if "data-dependent" in text or type(error).__name__.startswith("GuardOnDataDependent"):
        return f"{VALUES}{where}; {INSTEAD}"
    if "fake tensor" in text and "constant" in text:
        users = _with_data(model)
        if users:
            return f"{users} uses .data, which hides what happens to a tensor; use .detach() or torch.no_grad()"
        return f"its Python code keeps or changes a tensor outside of the operations on the clip{where}"
    if "numpy" in text:
        return f"its Python code leaves torch for numpy{where}; use torch's operations"
    return f"torch.export cannot follow its Python code{where}: {_plain(text) or type(error).__name__}"


def _plain(text):
    """Return the first sentence of a message of torch, without advice that is meant for torch's developers."""
    line = (text.strip().splitlines() or [""])[0]
    return re.split(r"\. (?=[A-Z])|For the potential source|Please file", line)[0].strip(" .")


def _theirs(error):
    """Say at which line of code that is neither torch's nor ours an exception arose, '' if there is none."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(NOT_THEIRS) and f.lineno
    ]
    return _at(frames[-1].filename, frames[-1].lineno) if frames else ""


def _source(node):
    """Say at which line of the network's code an operation of the recording stands, or else in which module."""
    found = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    found = [(file, int(line)) for file, line in found if not file.startswith(NOT_THEIRS)]
    if found:
        return _at(*found[-1])
    modules = list((node.meta.get("nn_module_stack") or {}).values())
    return f" in {modules[-1][0] or 'the network'}" if modules else ""


def _at(file, line):
    code = linecache.getline(file, line).strip()
    return f" at line {line} of {Path(file).name}" + (f" ({code})" if code else "")


def _with_data(model):
    """Name the modules whose code reads or writes `.data`, '' for none."""
    found = []
    for path, module in model.named_modules():
        if type(module).__module__.startswith("torch."):
            continue
        with contextlib.suppress(OSError, TypeError):
            if re.search(r"(?<!utils)\.data\b(?! import)", inspect.getsource(type(module))):
                found.append(f"{path} ({type(module).__name__})" if path else type(module).__name__)
    return found[-1] if found else ""
