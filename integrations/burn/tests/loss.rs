//! Values and gradients against burn's own loss on hard labels, against one composed of burn's
//! operations on soft targets, and against the formula and finite differences in `f64` everywhere.

use burn::nn::loss::{BinaryCrossEntropyLossConfig, Reduction};
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use soft_bce_burn::{
    BinaryCrossEntropyWithLogitsConfig as Bce, Error, Options, binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_no_reduction,
};

fn device() -> Device {
    Device::flex().autodiff()
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&device(), dtype))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_to_vec().unwrap()
}

/// Logits from −reach to reach, targets in [0, 1] with both ends.
fn data(reach: f64) -> (Vec<f64>, Vec<f64>) {
    let z = (0..400).map(|i| reach * (i as f64 / 200.0 - 1.0)).collect();
    let t = (0..400).map(|i| ((i * 37) % 101) as f64 / 100.0).collect();
    (z, t)
}

fn assert_close(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        // Not `>`: NaN is not close.
        let close = (found - wanted).abs() <= tolerance * wanted.abs().max(1.0);
        assert!(close, "{index}: {found} where {wanted} was expected");
    }
}

/// The definition, with all options, in `f64`.
fn loss(z: f64, t: f64, w: f64, pos_weight: f64, smoothing: f64) -> f64 {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let t = t + smoothing * (0.5 - t);
    w * (pos_weight * t * softplus(-z) + (1.0 - t) * softplus(z))
}

#[test]
fn burns_own_loss_on_hard_labels() {
    let (z, t) = data(60.0);
    let hard: Vec<i64> = t.iter().map(|&t| i64::from(t > 0.5)).collect();
    let z = tensor(&z, [400], DType::F32).require_grad();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(hard, [400]), &device());

    let own = BinaryCrossEntropyLossConfig::new()
        .with_logits(true)
        .init(&device());
    let theirs = own.forward(z.clone(), labels.clone());
    let ours = Bce::new()
        .init(&device())
        .forward(z.clone(), labels.float(), Reduction::Mean)
        .unwrap();
    assert_eq!(ours.dims(), theirs.dims());
    assert_close(&values(ours.clone()), &values(theirs.clone()), 2e-6);
    let gradient = |loss: Tensor<1>| values(z.grad(&loss.backward()).unwrap());
    assert_close(&gradient(ours), &gradient(theirs), 1e-8);
}

#[test]
fn a_composed_loss_on_soft_targets() {
    for (dtype, reach, tolerance) in [(DType::F32, 8.0, 1e-6), (DType::F64, 20.0, 1e-13)] {
        let (z, t) = data(reach);
        let z = tensor(&z, [100, 4], dtype).require_grad();
        let t = tensor(&t, [100, 4], dtype);
        let weights: Vec<f64> = (0..100).map(|row| f64::from(row % 7) / 4.0).collect();
        let weights = tensor(&weights, [100, 1], dtype);

        let each = (t.clone().neg() + 1.0) * z.clone() - log_sigmoid(z.clone());
        let theirs = (each * weights.clone()).sum() / (weights.clone().sum() * 4.0);
        let options = Options {
            weights: Some(weights),
            ..Options::default()
        };
        let ours =
            binary_cross_entropy_with_logits(z.clone(), t, Reduction::Mean, &options).unwrap();
        assert_close(&values(ours.clone()), &values(theirs.clone()), tolerance);
        let gradient = |loss: Tensor<1>| values(z.grad(&loss.backward()).unwrap());
        assert_close(&gradient(ours), &gradient(theirs), tolerance / 50.0);
    }
}

#[test]
fn finite_differences_with_every_option() {
    let step = 1e-5;
    let classes = [0.0, 0.5, 2.0, 1.25];
    for reach in [3.0, 40.0, 800.0] {
        let (z, t) = data(reach);
        for (pos_weight, smoothing, weighted) in [
            (1.0, 0.0, false),
            (1.0, 0.0, true),
            (3.0, 0.1, false),
            (0.25, 0.5, true),
        ] {
            let config = Bce::new()
                .with_pos_weight(pos_weight)
                .with_smoothing(smoothing)
                .with_weights(weighted.then(|| classes.map(|w| w as f32).to_vec()));
            let criterion = config.init(&device());
            let weight = |i: usize| if weighted { classes[i % 4] } else { 1.0 };
            let at = |i: usize, z: f64| loss(z, t[i], weight(i), pos_weight, smoothing);
            let losses: Vec<f64> = z.iter().enumerate().map(|(i, &z)| at(i, z)).collect();
            let sum: f64 = losses.iter().sum();
            let total: f64 = (0..z.len()).map(weight).sum();
            let slope = |i: usize| (at(i, z[i] + step) - at(i, z[i] - step)) / (2.0 * step);

            for (reduction, divisor) in [
                (Reduction::Mean, total),
                (Reduction::Auto, total),
                (Reduction::Sum, 1.0),
                (Reduction::BatchMean, 100.0),
            ] {
                let logits = tensor(&z, [100, 4], DType::F64).require_grad();
                let targets = tensor(&t, [100, 4], DType::F64);
                let found = criterion
                    .forward(logits.clone(), targets, reduction)
                    .unwrap();
                let gradients = (found.clone() * 0.7).backward();
                assert_close(&values(found), &[sum / divisor], 1e-12);
                let wanted: Vec<f64> = (0..z.len()).map(|i| 0.7 * slope(i) / divisor).collect();
                assert_close(&values(logits.grad(&gradients).unwrap()), &wanted, 2e-8);
            }

            let logits = tensor(&z, [100, 4], DType::F64).require_grad();
            let targets = tensor(&t, [100, 4], DType::F64);
            let found = criterion
                .forward_no_reduction(logits.clone(), targets)
                .unwrap();
            assert_close(&values(found.clone()), &losses, 1e-12);
            let outer: Vec<f64> = z.iter().map(|z| (z / reach).cos()).collect();
            let gradients = (found * tensor(&outer, [100, 4], DType::F64))
                .sum()
                .backward();
            let wanted: Vec<f64> = (0..z.len()).map(|i| outer[i] * slope(i)).collect();
            assert_close(&values(logits.grad(&gradients).unwrap()), &wanted, 2e-8);
        }
    }
}

#[test]
fn the_kernels_bits_with_and_without_autodiff() {
    let (z, t) = data(20.0);
    let single = |values: &[f64]| {
        values
            .iter()
            .map(|&value| value as f32)
            .collect::<Vec<f32>>()
    };
    let mut wanted = vec![0.0; z.len()];
    let mean = soft_bce::Bce::new()
        .mean_gradient(&single(&z), &single(&t), &mut wanted)
        .unwrap();

    let logits = tensor(&z, [20, 20], DType::F32).require_grad();
    let targets = tensor(&t, [20, 20], DType::F32);
    let criterion = Bce::new().init(&device());
    let found = criterion
        .forward(logits.clone(), targets.clone(), Reduction::Mean)
        .unwrap();
    let gradient = logits.grad(&found.backward()).unwrap();
    assert_eq!(values(found), [f64::from(mean as f32)]);
    assert_eq!(
        values(gradient),
        wanted.iter().copied().map(f64::from).collect::<Vec<_>>()
    );

    let plain = Bce::new().init(&Device::flex());
    let found = plain
        .forward(logits.inner(), targets.inner(), Reduction::Mean)
        .unwrap();
    assert_eq!(values(found), [f64::from(mean as f32)]);
}

#[test]
fn half_precision_by_conversion() {
    for (dtype, cast) in [
        (DType::BF16, FloatDType::BF16),
        (DType::F16, FloatDType::F16),
    ] {
        let (z, t) = data(100.0);
        let (z, t) = (
            tensor(&z, [400], dtype).require_grad(),
            tensor(&t, [400], dtype),
        );
        let criterion = Bce::new().init(&device());
        let found = criterion
            .forward(z.clone(), t.clone(), Reduction::Mean)
            .unwrap();
        let gradient = z.grad(&found.backward()).unwrap();
        assert_eq!((found.dtype(), gradient.dtype()), (dtype, dtype));

        let single = z
            .clone()
            .detach()
            .cast(FloatDType::F32)
            .detach()
            .require_grad();
        let wanted = criterion
            .forward(single.clone(), t.cast(FloatDType::F32), Reduction::Mean)
            .unwrap();
        let gradient_wanted = single.grad(&wanted.backward()).unwrap();
        assert_eq!(values(found), values(wanted.cast(cast)));
        assert_eq!(values(gradient), values(gradient_wanted.cast(cast)));
    }
}

/// Transposed, cut and repeated logits give what their copies give, and the gradient arrives.
#[test]
fn inputs_that_are_not_contiguous() {
    let (z, t) = data(20.0);
    let views: [fn(Tensor<2>) -> Tensor<2>; 3] = [
        |tensor| tensor.transpose(),
        |tensor| tensor.slice([2..9, 3..14]),
        |tensor| tensor.slice([4..5, 0..20]).expand([6, 20]),
    ];
    let criterion = Bce::new().init(&device());
    for view in views {
        let logits = tensor(&z, [20, 20], DType::F64).require_grad();
        let targets = view(tensor(&t, [20, 20], DType::F64));
        let found = criterion
            .forward(view(logits.clone()), targets.clone(), Reduction::Sum)
            .unwrap();
        let shown = view(logits.clone());
        let shape = shown.dims();
        let copy = tensor(&values(shown.clone()), shape, DType::F64).require_grad();
        let copied_targets = tensor(&values(targets), shape, DType::F64);
        let wanted = criterion
            .forward(copy.clone(), copied_targets, Reduction::Sum)
            .unwrap();
        assert_eq!(values(found.clone()), values(wanted.clone()));

        let gradient = values(logits.grad(&found.backward()).unwrap());
        let inner = copy.grad(&wanted.backward()).unwrap();
        let inner = tensor(&values(inner), shape, DType::F64);
        let wanted = logits.grad(&(shown * inner).sum().backward()).unwrap();
        assert_eq!(gradient, values(wanted));
    }
}

/// A teacher's logits at a temperature, against the formula.
#[test]
fn temperature_and_logit_targets() {
    let (z, _) = data(20.0);
    let u: Vec<f64> = z.iter().map(|z| 9.0 * (z / 3.0).sin()).collect();
    let config = Bce::new().with_temperature(2.5).with_logit_targets(true);
    let logits = tensor(&z, [100, 4], DType::F64).require_grad();
    let found = config
        .init(&device())
        .forward(
            logits.clone(),
            tensor(&u, [100, 4], DType::F64),
            Reduction::Sum,
        )
        .unwrap();
    let gradient = logits.grad(&found.backward()).unwrap();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let losses = z.iter().zip(&u);
    let sum: f64 = losses
        .map(|(z, u)| loss(z / 2.5, sigmoid(u / 2.5), 1.0, 1.0, 0.0))
        .sum();
    assert_close(&values(found), &[sum], 1e-13);
    let slopes = z.iter().zip(&u);
    let wanted: Vec<f64> = slopes
        .map(|(z, u)| (sigmoid(z / 2.5) - sigmoid(u / 2.5)) / 2.5)
        .collect();
    assert_close(&values(gradient), &wanted, 1e-14);
}

/// A weight of the positive class for each class is a `pos_weight` for each column.
#[test]
fn pos_weights_by_class() {
    let (z, t) = data(20.0);
    let (z, t) = (
        tensor(&z, [100, 4], DType::F64).require_grad(),
        tensor(&t, [100, 4], DType::F64),
    );
    let pos_weights = [0.5, 1.0, 3.0, 10.0];
    let config = Bce::new().with_pos_weights(Some(pos_weights.map(|p| p as f32).to_vec()));
    let all = config
        .init(&device())
        .forward(z.clone(), t.clone(), Reduction::Sum)
        .unwrap();
    let gradient = z.grad(&all.backward()).unwrap();
    let mut sum = 0.0;
    for (class, pos_weight) in pos_weights.into_iter().enumerate() {
        let of = |tensor: Tensor<2>| tensor.slice([0..100, class..class + 1]);
        let config = Bce::new().with_pos_weight(pos_weight);
        let logits = of(z.clone()).detach().require_grad();
        let one = config
            .init(&device())
            .forward(logits.clone(), of(t.clone()), Reduction::Sum)
            .unwrap();
        let wanted = logits.grad(&one.backward()).unwrap();
        let found = values(of(Tensor::from_inner(gradient.clone())));
        assert_close(&found, &values(wanted), 1e-15);
        sum += values(one)[0];
    }
    assert_close(&values(all), &[sum], 1e-14);
}

/// Weights of one row, of one column and of one element count where they are repeated.
#[test]
fn weights_broadcast() {
    let (z, t) = data(20.0);
    let (z, t) = (
        tensor(&z[..6], [2, 3], DType::F64),
        tensor(&t[..6], [2, 3], DType::F64),
    );
    for weights in [
        tensor(&[2.0, 0.5], [2, 1], DType::F64),
        tensor(&[2.0, 0.0, 0.5], [1, 3], DType::F64),
        // The weights' type is converted.
        tensor(&[3.0], [1, 1], DType::F32),
    ] {
        let options = Options {
            weights: Some(weights.clone()),
            ..Options::default()
        };
        let found =
            binary_cross_entropy_with_logits_no_reduction(z.clone(), t.clone(), &options).unwrap();
        let plain = Bce::new()
            .init(&device())
            .forward_no_reduction(z.clone(), t.clone())
            .unwrap();
        let wanted = plain * weights.cast(FloatDType::F64).expand([2, 3]);
        assert_close(&values(found), &values(wanted), 1e-15);
    }
}

/// Targets and weights may be of the same device without autodiff.
#[test]
fn constants_from_the_plain_device() {
    let (z, t) = data(20.0);
    let z = tensor(&z, [100, 4], DType::F64).require_grad();
    let t = tensor(&t, [100, 4], DType::F64);
    let weights = tensor(&[1.0, 2.0, 0.5, 1.0], [1, 4], DType::F64);
    let gradient = |t: Tensor<2>, weights: Tensor<2>| {
        let options = Options {
            weights: Some(weights),
            ..Options::default()
        };
        let loss =
            binary_cross_entropy_with_logits(z.clone(), t, Reduction::Mean, &options).unwrap();
        values(z.grad(&loss.backward()).unwrap())
    };
    assert_eq!(
        gradient(t.clone().inner(), weights.clone().inner()),
        gradient(t, weights)
    );
}

/// A loss that is used twice has twice the gradient.
#[test]
fn used_twice() {
    let (z, t) = data(20.0);
    let (z, t) = (
        tensor(&z, [400], DType::F64).require_grad(),
        tensor(&t, [400], DType::F64),
    );
    let criterion = Bce::new().init(&device());
    let loss = || {
        criterion
            .forward(z.clone(), t.clone(), Reduction::Mean)
            .unwrap()
    };
    let once = values(z.grad(&loss().backward()).unwrap());
    let shared = loss();
    let twice = values(z.grad(&(shared.clone() + shared).backward()).unwrap());
    assert_eq!(
        twice,
        once.iter().map(|value| 2.0 * value).collect::<Vec<_>>()
    );
}

#[test]
fn what_is_refused() {
    let criterion = Bce::new().init(&device());
    let z = tensor(&[0.0; 6], [2, 3], DType::F32);
    let mean = |t: Tensor<2>| {
        criterion
            .forward(z.clone(), t, Reduction::Mean)
            .unwrap_err()
    };
    let shape = |argument, expected: &[usize], found: &[usize]| Error::Shape {
        argument,
        expected: expected.to_vec(),
        found: found.to_vec(),
    };
    assert_eq!(
        mean(z.clone().transpose()),
        shape("targets", &[2, 3], &[3, 2])
    );
    let double = tensor(&[0.0; 6], [2, 3], DType::F64);
    assert_eq!(
        mean(double),
        Error::DType {
            logits: DType::F32,
            targets: DType::F64
        }
    );
    let bad = tensor(&[0.0, 1.0, 0.5, 0.5, 1.5, 2.0], [2, 3], DType::F32);
    let error = soft_bce::Error::TargetOutOfRange {
        index: 4,
        value: 1.5,
    };
    assert_eq!(mean(bad), Error::Kernel(error));
    let tracked = tensor(&[0.5; 6], [2, 3], DType::F32).require_grad();
    assert_eq!(mean(tracked), Error::TrackedTargets);

    let wide = Options {
        weights: Some(tensor(&[1.0; 2], [1, 2], DType::F32)),
        ..Options::default()
    };
    let error = binary_cross_entropy_with_logits(z.clone(), z.clone(), Reduction::Mean, &wide);
    assert_eq!(error.unwrap_err(), shape("weights", &[2, 3], &[1, 2]));

    let with = |config: Bce| {
        let error = config
            .init(&device())
            .forward(z.clone(), z.clone(), Reduction::Mean)
            .unwrap_err();
        error.to_string()
    };
    assert!(with(Bce::new().with_pos_weight(0.0)).contains("pos_weight"));
    assert!(with(Bce::new().with_smoothing(f64::NAN)).contains("label_smoothing"));
    assert!(
        with(Bce::new().with_weights(Some(vec![1.0, -1.0, 1.0]))).contains("weight -1 at index 1")
    );
    assert!(with(Bce::new().with_weights(Some(vec![1.0]))).contains("weights of shape [1]"));
    assert!(with(Bce::new().with_temperature(0.0)).contains("temperature"));
    assert!(
        with(Bce::new().with_logit_targets(true).with_smoothing(0.1)).contains("logit_targets")
    );
    let pos = |values: &[f32]| with(Bce::new().with_pos_weights(Some(values.to_vec())));
    assert!(pos(&[1.0; 2]).contains("pos_weights of shape [2]"));
    assert!(pos(&[1.0, 0.0, 1.0]).contains("pos_weight"));
    assert!(with(Bce::new().with_weights(Some(vec![0.0; 3]))).contains("mean of nothing"));
}
