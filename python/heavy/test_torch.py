"""soft_bce.torch against torch's own function on torch's own inputs."""

import doctest
import itertools
import math
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db

import soft_bce
import soft_bce.torch
from soft_bce.torch import BCEWithLogitsLoss, binary_cross_entropy_with_logits

# From torch's float64: its own results in narrow types are worse. Weights of both signs cancel.
TOLERANCE = {
    torch.float64: {"rtol": 1e-13, "atol": 1e-15},
    torch.float32: {"rtol": 1e-5, "atol": 2e-5},
    torch.bfloat16: {"rtol": 1e-2, "atol": 1e-4},
    torch.float16: {"rtol": 1.5e-3, "atol": 1e-5},
}
REDUCTIONS = ("mean", "sum", "none")


def torchs_samples(dtype, requires_grad):
    (info,) = [info for info in op_db if info.name == "nn.functional.binary_cross_entropy_with_logits"]
    samples = list(info.sample_inputs("cpu", dtype, requires_grad))
    assert len(samples) > 20
    for sample in samples:
        yield sample.input, sample.args[0], sample.kwargs


def more_samples(dtype):
    generator = torch.Generator().manual_seed(20261128)

    def make(*shape):
        z = 5 * torch.randn(shape, generator=generator, dtype=torch.float64)
        return z.to(dtype).requires_grad_()

    def unit(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    for reduction in REDUCTIONS:
        for weight, pos_weight in itertools.product((None, (), (4,), (3, 1), (2, 1, 1), (2, 3, 4)), repeat=2):
            options = {"reduction": reduction}
            if weight is not None:
                options["weight"] = unit(*weight).detach()
            if pos_weight is not None:
                options["pos_weight"] = 0.1 + 3 * unit(*pos_weight).detach()
            yield make(2, 3, 4), unit(2, 3, 4), options
        # Signs that soft_bce itself refuses.
        yield make(3, 4), unit(3, 4), {"reduction": reduction, "weight": unit(3, 4).detach() - 0.5}
        signs = torch.tensor([-1.0, 0.0, 2.0, 1.0], dtype=dtype)
        yield make(3, 4), unit(3, 4), {"reduction": reduction, "pos_weight": signs}
        # Layouts: transposed, strided, expanded.
        yield make(4, 3).t(), unit(3, 4), {"reduction": reduction}
        yield make(3, 8)[:, ::2], unit(4, 3).t(), {"reduction": reduction, "weight": unit(4, 3).detach().t()}
        yield make(3, 1).expand(3, 4), unit(4).expand(3, 4), {"reduction": reduction}
        yield make(0, 3), unit(0, 3), {"reduction": reduction}


def leaves(*tensors):
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def results(function, z, t, options):
    """Loss, and the gradients of something by logits and targets."""
    z, t = leaves(z, t)
    loss = function(z, t, **options)
    seed = torch.arange(1.0, loss.numel() + 1, dtype=loss.dtype).reshape(loss.shape)
    return [loss.detach(), *torch.autograd.grad((loss * seed).sum(), (z, t))]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_as_torch_on_torchs_samples(dtype):
    samples = list(torchs_samples(dtype, requires_grad=True)) + list(more_samples(dtype))
    for z, t, options in samples:
        found = results(binary_cross_entropy_with_logits, z, t, options)
        wide = {k: v.double() if torch.is_tensor(v) else v for k, v in options.items()}
        wide = results(F.binary_cross_entropy_with_logits, z.double(), t.double(), wide)
        right = [value.to(dtype) for value in wide]
        for a, b in zip(found, right):
            # dtype, shape and NaN (the mean of nothing) too.
            torch.testing.assert_close(a, b, equal_nan=True, **TOLERANCE[dtype])


@pytest.mark.parametrize("module", [torch.nn.BCEWithLogitsLoss, BCEWithLogitsLoss])
def test_the_module_is_a_drop_in(module):
    """The same calls to torch's module and to ours."""
    z = torch.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
    t = torch.tensor([[0.9, 0.0], [0.5, 1.0]])
    criterion = module(weight=torch.tensor([1.0, 2.0]), pos_weight=torch.tensor([3.0, 1.0]), reduction="sum")
    assert set(criterion.state_dict()) == {"weight", "pos_weight"}
    restored = module(weight=torch.ones(2), pos_weight=torch.ones(2), reduction="sum")
    restored.load_state_dict(criterion.state_dict())
    for one in (criterion, restored, pickle.loads(pickle.dumps(criterion)), criterion.double()):
        loss = one(z, t)
        z.grad = None
        loss.backward()
        right = F.binary_cross_entropy_with_logits(
            z, t, torch.tensor([1.0, 2.0]), pos_weight=torch.tensor([3.0, 1.0]), reduction="sum"
        )
        torch.testing.assert_close(loss, right)
        torch.testing.assert_close(z.grad, torch.autograd.grad(right, z)[0])


def test_deprecated_arguments():
    z, t = torch.randn(5), torch.rand(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for size_average, reduce in itertools.product((True, False), repeat=2):
            found = binary_cross_entropy_with_logits(z, t, None, size_average, reduce)
            right = F.binary_cross_entropy_with_logits(z, t, None, size_average, reduce)
            torch.testing.assert_close(found, right)


def options_of_checks():
    for reduction in REDUCTIONS:
        yield {"reduction": reduction}
        yield {"reduction": reduction, "weight": torch.tensor([[0.5], [2.0]], dtype=torch.float64)}
        yield {"reduction": reduction, "pos_weight": torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)}
        yield {"reduction": reduction, "pos_weight": torch.tensor(2.0, dtype=torch.float64)}


@pytest.mark.parametrize("options", list(options_of_checks()))
@pytest.mark.parametrize("targets", [False, True])
def test_gradients_by_differences(options, targets):
    torch.manual_seed(1)
    z = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    t = (0.1 + 0.8 * torch.rand(2, 3, dtype=torch.float64)).requires_grad_(targets)

    def loss(z, t):
        return binary_cross_entropy_with_logits(z, t, **options)

    assert torch.autograd.gradcheck(loss, (z, t))
    assert torch.autograd.gradgradcheck(loss, (z, t))


def test_second_derivatives_are_as_torchs():
    """A Hessian-vector product, and the cross derivative by targets."""
    for z, t, options in more_samples(torch.float64):
        if z.numel() == 0 or not z.is_leaf or not t.is_leaf:
            continue
        found, right = [], []
        for function, to in (
            (binary_cross_entropy_with_logits, found),
            (F.binary_cross_entropy_with_logits, right),
        ):
            loss = function(z, t, **options).square().sum()
            by_z, by_t = torch.autograd.grad(loss, (z, t), create_graph=True)
            seed = torch.linspace(-1, 1, z.numel(), dtype=z.dtype).reshape(z.shape)
            to += torch.autograd.grad((by_z * seed).sum() + (by_t * seed**2).sum(), (z, t))
        for a, b in zip(found, right):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_third_derivatives_are_refused():
    z = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    loss = binary_cross_entropy_with_logits(z, torch.full_like(z, 0.3))
    (first,) = torch.autograd.grad(loss, z, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), z, create_graph=True)
    with pytest.raises(RuntimeError, match="soft_bce"):
        torch.autograd.grad(second.sum(), z)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_compile_fullgraph(reduction):
    torch.compiler.reset()  # it refuses a ninth graph of a function
    weight, pos_weight = torch.tensor([[0.5], [2.0]]), torch.tensor([1.0, 2.0, 3.0])

    def step(z, t, weight, pos_weight):
        loss = binary_cross_entropy_with_logits(2 * z, t, weight, pos_weight=pos_weight, reduction=reduction)
        return loss.sum() if reduction == "none" else loss

    compiled = torch.compile(step, fullgraph=True)
    for options in ((None, None), (weight, pos_weight), (weight.double(), pos_weight.double())):
        gradients = []
        for function in (step, compiled):
            z, t = leaves(torch.linspace(-2, 2, 6).reshape(2, 3), torch.linspace(0, 1, 6).reshape(2, 3))
            loss = function(z, t, *options)
            loss.backward()
            gradients.append((loss.detach(), z.grad, t.grad))
        for a, b in zip(*gradients):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    module = torch.compile(BCEWithLogitsLoss(reduction=reduction), fullgraph=True)
    z = torch.randn(4, 3, requires_grad=True)
    module(z, torch.rand(4, 3)).sum().backward()
    assert z.grad.abs().sum() > 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # opcheck reads it
def test_the_ops_keep_torchs_rules():
    z, t = torch.randn(4, 3, requires_grad=True), torch.rand(4, 3, requires_grad=True)
    weight, pos_weight = torch.rand(4, 3), torch.tensor([1.0, 2.0, 3.0])
    for reduction in REDUCTIONS:
        turned = [x.detach().clone().t().requires_grad_() for x in (z, t)]
        for arguments in ((z, t, None, None), (z, t, weight, pos_weight), (*turned, None, None)):
            torch.library.opcheck(soft_bce.torch._loss_gradient, (*arguments, reduction))
            plain = [None if x is None else x.detach() for x in arguments]
            torch.library.opcheck(soft_bce.torch._loss, (*plain, reduction))
    torch.library.opcheck(soft_bce.torch._hessian, (z.detach(), t.detach(), weight, pos_weight))


def test_training_gives_the_same_weights():
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(3))
    t = torch.sigmoid(x @ torch.linspace(-2, 2, 5)).unsqueeze(1)
    found = []
    for criterion in (torch.nn.BCEWithLogitsLoss(), BCEWithLogitsLoss()):
        torch.manual_seed(0)
        model = torch.nn.Linear(5, 1)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(200):
            optimiser.zero_grad()
            criterion(model(x), t).backward()
            optimiser.step()
        found.append(model.weight.detach())
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[1].flatten(), torch.linspace(-2, 2, 5), rtol=0.05, atol=0.05)


def test_where_torch_loses_the_gradient():
    z = torch.tensor([20.0, -20.0, 100.0], requires_grad=True)
    t = torch.tensor([1.0, 0.0, 1.0])
    binary_cross_entropy_with_logits(z, t, reduction="sum").backward()
    right = torch.tensor([-2.0611537e-09, 2.0611537e-09, -3.783506e-44])
    torch.testing.assert_close(z.grad, right, rtol=1e-6, atol=0)
    (theirs,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(z, t, reduction="sum"), z)
    assert theirs[0] == 0


def test_sums_do_not_depend_on_threads_or_order():
    torch.manual_seed(0)
    z, t = 5 * torch.randn(1 << 18), torch.rand(1 << 18)
    order = torch.randperm(len(z))
    threads = torch.get_num_threads()
    found = set()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.add(binary_cross_entropy_with_logits(z, t).item())
            found.add(binary_cross_entropy_with_logits(z[order], t[order]).item())
    finally:
        torch.set_num_threads(threads)
    (mean,) = found
    assert mean == torch.tensor(soft_bce.mean(z, t)).item()


def test_errors():
    z, t = torch.zeros(2, 3), torch.full((2, 3), 0.5)
    bad = t.clone()
    bad[1, 2] = 1.5
    for requires_grad in (False, True):
        z.requires_grad_(requires_grad)
        for pos_weight in (None, torch.tensor(2.0), torch.tensor([1.0, 2.0, 3.0])):
            for reduction in REDUCTIONS:
                options = {"pos_weight": pos_weight, "reduction": reduction}
                with pytest.raises(ValueError, match=r"^target\[1, 2\] is 1.5 and must be in \[0, 1\]$"):
                    binary_cross_entropy_with_logits(z, bad, **options)
                with pytest.raises(ValueError, match=r"^weight\[0, 1\] is inf and must be finite"):
                    weight = torch.tensor([1.0, math.inf, 1.0])
                    binary_cross_entropy_with_logits(z, t, weight, **options)
    with pytest.raises(ValueError, match=r"^pos_weight\[1\] is nan and must be finite"):
        binary_cross_entropy_with_logits(z, t, pos_weight=torch.tensor([1.0, math.nan, 1.0]))
    with pytest.raises(ValueError, match="^weight is not finite in float32$"):
        binary_cross_entropy_with_logits(z, t, torch.tensor([1.0, math.nan, -1.0]))
    z = z.detach()
    for function in (binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match="Target size"):
            function(z, t[0])
        with pytest.raises(ValueError, match="^x is not a valid value for reduction$"):
            function(z, t, reduction="x")
        for shape in ((2,), (4, 2, 3)):
            with pytest.raises(RuntimeError):
                function(z, t, weight=torch.ones(shape))
            with pytest.raises(RuntimeError):
                function(z, t, pos_weight=torch.ones(shape))
        with pytest.raises(RuntimeError):
            function(z, t, weight=torch.ones(3, requires_grad=True))
        with pytest.raises(RuntimeError):
            function(z, t, pos_weight=torch.ones(3, requires_grad=True))
        with pytest.raises(NotImplementedError):
            function(z.int(), t)


def test_weights_of_float64_are_checked_before_they_are_rounded():
    z, t = torch.tensor([1.0, -2.0, 0.5], requires_grad=True), torch.tensor([0.5, 0.25, 1.0], requires_grad=True)
    weight = torch.tensor([0.1, 2.0, 0.7], dtype=torch.float64)
    for name, reduction in itertools.product(("weight", "pos_weight"), REDUCTIONS):
        for pattern, value in ((r"1e-60, which float32 rounds to 0", 1e-60), (r"1e300, which float32 rounds to inf", 1e300)):
            bad = weight.clone()
            bad[1] = value
            with pytest.raises(ValueError, match=rf"^{name}\[1\] is {pattern}"):
                binary_cross_entropy_with_logits(z, t, **{name: bad}, reduction=reduction)
        with pytest.raises(ValueError, match="^pos_weight is 1e-60, which float32 rounds to 0"):
            binary_cross_entropy_with_logits(z, t, pos_weight=torch.tensor(1e-60, dtype=torch.float64))
        found = results(binary_cross_entropy_with_logits, z, t, {name: weight, "reduction": reduction})
        right = results(binary_cross_entropy_with_logits, z, t, {name: weight.float(), "reduction": reduction})
        for a, b in zip(found, right):
            torch.testing.assert_close(a, b)
    with pytest.raises(ValueError, match="^weight is not finite in float32$"):
        binary_cross_entropy_with_logits(z, t, torch.tensor([1e300, -1.0, 1.0], dtype=torch.float64))


def test_limits_and_types():
    z = torch.tensor([math.inf, -math.inf, math.nan])
    t = torch.tensor([1.0, 0.0, 0.5])
    loss = binary_cross_entropy_with_logits(z, t, reduction="none")
    torch.testing.assert_close(loss, torch.tensor([0.0, 0.0, math.nan]), equal_nan=True)
    assert binary_cross_entropy_with_logits(z.double(), t).dtype == torch.float64
    assert binary_cross_entropy_with_logits(torch.zeros(1), torch.ones(1, dtype=torch.int64)) == torch.tensor(
        math.log(2)
    )
    with torch.no_grad():
        z = torch.zeros(3, requires_grad=True)
        assert not binary_cross_entropy_with_logits(z, torch.ones(3)).requires_grad


def test_docstrings():
    result = doctest.testmod(soft_bce.torch)
    assert result.failed == 0 and result.attempted > 5
