//! Values and gradients against candle's own loss where that is finite, and against the formula
//! and finite differences in `f64` everywhere.

use std::process::Command;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::loss::binary_cross_entropy_with_logit as candles_own;
use soft_bce_candle::{Options, Reduction, binary_cross_entropy_with_logits as bce};

const CPU: Device = Device::Cpu;

/// Logits from −reach to reach, targets in [0, 1] with both ends, weights in [0, 2).
fn data(reach: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let count = 401;
    let z = (0..count)
        .map(|i| reach * (i as f64 / 200.0 - 1.0))
        .collect();
    let t = (0..count)
        .map(|i| ((i * 37) % 101) as f64 / 100.0)
        .collect();
    let w = (0..count).map(|i| ((i * 53) % 40) as f64 / 20.0).collect();
    (z, t, w)
}

fn tensor(values: &[f64], dtype: DType) -> Result<Tensor> {
    Tensor::new(values, &CPU)?.to_dtype(dtype)
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
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
fn candles_own_loss_and_gradient_where_they_are_finite() -> Result<()> {
    for (dtype, reach, tolerance) in [(DType::F32, 5.0, 2e-5), (DType::F64, 10.0, 1e-10)] {
        let (z, t, _) = data(reach);
        let (z, t) = (Var::from_tensor(&tensor(&z, dtype)?)?, tensor(&t, dtype)?);
        let (ours, theirs) = (bce(&z, &t, &Options::default())?, candles_own(&z, &t)?);
        assert_eq!((ours.dtype(), ours.dims()), (theirs.dtype(), theirs.dims()));
        assert_close(&values(&ours)?, &values(&theirs)?, tolerance);
        let (ours, theirs) = (ours.backward()?, theirs.backward()?);
        let gradient = |store: &candle_core::backprop::GradStore| values(store.get(&z).unwrap());
        assert_close(&gradient(&ours)?, &gradient(&theirs)?, tolerance / 100.0);
    }
    Ok(())
}

#[test]
fn finite_where_candles_own_loss_is_not() -> Result<()> {
    let (z, t) = (
        Var::new(&[120.0_f32, -120.0], &CPU)?,
        Tensor::new(&[0.75_f32, 0.75], &CPU)?,
    );
    let theirs = candles_own(&z, &t)?;
    assert!(!theirs.to_scalar::<f32>()?.is_finite());
    assert!(
        values(theirs.backward()?.get(&z).unwrap())?
            .iter()
            .any(|value| value.is_nan())
    );

    let ours = bce(&z, &t, &Options::default())?;
    assert_eq!(ours.to_scalar::<f32>()?, 60.0); // (0.25 * 120 + 0.75 * 120) / 2
    assert_eq!(values(ours.backward()?.get(&z).unwrap())?, [0.125, -0.375]);
    Ok(())
}

#[test]
fn finite_differences_with_every_option() -> Result<()> {
    let step = 1e-5;
    for reach in [3.0, 40.0, 800.0] {
        let (z, t, w) = data(reach);
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            for (pos_weight, smoothing, weighted) in [
                (1.0, 0.0, false),
                (1.0, 0.0, true),
                (3.0, 0.1, false),
                (0.25, 0.5, true),
            ] {
                let var = Var::from_tensor(&tensor(&z, DType::F64)?)?;
                let options = Options {
                    reduction,
                    pos_weight,
                    label_smoothing: smoothing,
                    weights: weighted.then(|| tensor(&w, DType::F64)).transpose()?,
                };
                let found = bce(&var, &tensor(&t, DType::F64)?, &options)?;
                // Other than 1, and another for each element where nothing is reduced.
                let outer: Vec<f64> = match reduction {
                    Reduction::None => z.iter().map(|z| (z / reach).cos()).collect(),
                    _ => vec![0.7],
                };
                let scaled = found
                    .flatten_all()?
                    .mul(&tensor(&outer, DType::F64)?)?
                    .sum_all()?;
                let gradient = scaled.backward()?.get(&var).unwrap().clone();

                let weight = |i: usize| if weighted { w[i] } else { 1.0 };
                let at = |i: usize, z: f64| loss(z, t[i], weight(i), pos_weight, smoothing);
                let losses: Vec<f64> = z.iter().enumerate().map(|(i, &z)| at(i, z)).collect();
                let total: f64 = (0..z.len()).map(weight).sum();
                let (wanted, divisor) = match reduction {
                    Reduction::Mean => (vec![losses.iter().sum::<f64>() / total], total),
                    Reduction::Sum => (vec![losses.iter().sum()], 1.0),
                    Reduction::None => (losses, 1.0),
                };
                assert_close(&values(&found)?, &wanted, 1e-12);
                let difference = |i: usize| {
                    let slope = (at(i, z[i] + step) - at(i, z[i] - step)) / (2.0 * step);
                    slope / divisor * outer[i.min(outer.len() - 1)]
                };
                let wanted: Vec<f64> = (0..z.len()).map(difference).collect();
                assert_close(&values(&gradient)?, &wanted, 2e-8);
            }
        }
    }
    Ok(())
}

#[test]
fn the_kernels_bits() -> Result<()> {
    let (z, t, _) = data(20.0);
    let var = Var::from_tensor(&tensor(&z, DType::F32)?)?;
    let t = tensor(&t, DType::F32)?;
    let found = bce(&var, &t, &Options::default())?;
    let gradient = found.backward()?.get(&var).unwrap().to_vec1::<f32>()?;
    let mut wanted = vec![0.0; z.len()];
    let (z, t) = (var.to_vec1::<f32>()?, t.to_vec1::<f32>()?);
    let mean = soft_bce::Bce::new()
        .mean_gradient(&z, &t, &mut wanted)
        .unwrap();
    assert_eq!(found.to_scalar::<f32>()?, mean as f32);
    assert_eq!(gradient, wanted);
    Ok(())
}

#[test]
fn half_precision_by_conversion() -> Result<()> {
    for dtype in [DType::BF16, DType::F16] {
        let (z, t, _) = data(100.0);
        let z = Var::from_tensor(&tensor(&z, dtype)?)?;
        let t = tensor(&t, dtype)?;
        let found = bce(&z, &t, &Options::default())?;
        assert_eq!(found.dtype(), dtype);
        let gradient = found.backward()?.get(&z).unwrap().clone();
        assert_eq!(gradient.dtype(), dtype);

        let single = Var::from_tensor(&z.to_dtype(DType::F32)?)?;
        let wanted = bce(&single, &t.to_dtype(DType::F32)?, &Options::default())?;
        assert_eq!(values(&found)?, values(&wanted.to_dtype(dtype)?)?);
        let wanted = wanted.backward()?.get(&single).unwrap().to_dtype(dtype)?;
        assert_eq!(values(&gradient)?, values(&wanted)?);
    }
    Ok(())
}

/// Transposed, cut and repeated logits and targets give what their copies give.
#[test]
fn inputs_that_are_not_contiguous() -> Result<()> {
    let (z, t, w) = data(20.0);
    let square = |values: &[f64]| tensor(&values[..400], DType::F64)?.reshape((20, 20));
    let (z, t, w) = (Var::from_tensor(&square(&z)?)?, square(&t)?, square(&w)?);
    let views: [fn(&Tensor) -> Result<Tensor>; 3] = [
        |tensor| tensor.t(),
        |tensor| tensor.narrow(1, 3, 11)?.narrow(0, 2, 7),
        |tensor| tensor.narrow(0, 4, 1)?.broadcast_as((6, 20)),
    ];
    for view in views {
        let options = Options {
            weights: Some(view(&w)?),
            ..Options::default()
        };
        let found = bce(&view(&z)?, &view(&t)?, &options)?;
        let copy = Var::from_tensor(&view(&z)?.force_contiguous()?)?;
        let wanted = bce(&copy, &view(&t)?.force_contiguous()?, &options)?;
        assert_eq!(values(&found)?, values(&wanted)?);

        // The gradient arrives where the view shows the variable, as often as it does.
        let gradient = found.backward()?.get(&z).unwrap().clone();
        let through = (view(&z)? * wanted.backward()?.get(&copy).unwrap())?.sum_all()?;
        let wanted = through.backward()?.get(&z).unwrap().clone();
        assert_eq!(values(&gradient)?, values(&wanted)?);
    }
    Ok(())
}

#[test]
fn weights_broadcast() -> Result<()> {
    let z = Tensor::new(&[[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]], &CPU)?;
    let t = Tensor::new(&[[0.5, 0.25, 1.0], [0.0, 0.75, 0.1]], &CPU)?;
    for weights in [
        Tensor::new(&[[2.0], [0.5]], &CPU)?,
        Tensor::new(&[2.0, 0.0, 0.5], &CPU)?,
    ] {
        let full = weights.broadcast_as((2, 3))?.contiguous()?;
        let of = |weights| {
            bce(
                &z,
                &t,
                &Options {
                    weights: Some(weights),
                    ..Options::default()
                },
            )
        };
        assert_eq!(values(&of(weights)?)?, values(&of(full)?)?);
    }
    Ok(())
}

#[test]
fn the_backward_pass_may_run_twice() -> Result<()> {
    let (z, t, _) = data(20.0);
    let (z, t) = (
        Var::from_tensor(&tensor(&z, DType::F32)?)?,
        tensor(&t, DType::F32)?,
    );
    let loss = bce(&z, &t, &Options::default())?;
    let first = values(loss.backward()?.get(&z).unwrap())?;
    // The gradient is that of the forward pass, whatever the variable holds by now.
    z.set(&z.zeros_like()?)?;
    assert_eq!(values(loss.backward()?.get(&z).unwrap())?, first);
    // Used twice in one graph, it is added twice.
    let twice = (&loss + &loss)?;
    let wanted: Vec<f64> = first.iter().map(|value| 2.0 * value).collect();
    assert_eq!(values(twice.backward()?.get(&z).unwrap())?, wanted);
    Ok(())
}

#[test]
fn gradients_by_the_targets() -> Result<()> {
    let (z, t, mut w) = data(20.0);
    w[7] = 0.0;
    let mut with_nan = z.clone();
    with_nan[7] = f64::NAN;
    let (var, logits) = (
        Var::from_tensor(&tensor(&t, DType::F64)?)?,
        tensor(&with_nan, DType::F64)?,
    );
    let total: f64 = w.iter().sum();
    let options = Options {
        weights: Some(tensor(&w, DType::F64)?),
        label_smoothing: 0.25,
        ..Options::default()
    };
    let found = bce(&logits, &var, &options)?
        .backward()?
        .get(&var)
        .unwrap()
        .clone();
    let wanted: Vec<f64> = z
        .iter()
        .zip(&w)
        .map(|(z, w)| -0.75 * z * w / total)
        .collect();
    assert_close(&values(&found)?, &wanted, 1e-15);

    let plain = bce(
        &tensor(&z, DType::F64)?,
        &var,
        &Options {
            reduction: Reduction::Sum,
            ..Options::default()
        },
    )?;
    let wanted: Vec<f64> = z.iter().map(|z| -z).collect();
    assert_eq!(values(plain.backward()?.get(&var).unwrap())?, wanted);

    // Refused where it is not -z, and only if it is asked for.
    let options = Options {
        pos_weight: 2.0,
        ..Options::default()
    };
    let error = bce(&tensor(&z, DType::F64)?, &var, &options)?
        .backward()
        .unwrap_err();
    assert!(error.to_string().contains("pos_weight"), "{error}");
    let logits = Var::from_tensor(&tensor(&z, DType::F64)?)?;
    assert!(
        bce(&logits, &var.detach(), &options)?
            .backward()?
            .get(&logits)
            .is_some()
    );
    Ok(())
}

/// Second derivatives, in a process of its own, since candle reads the variable once.
#[test]
fn second_derivatives() -> Result<()> {
    const VARIABLE: &str = "CANDLE_GRAD_DO_NOT_DETACH";
    if std::env::var_os(VARIABLE).is_none() {
        let tests = std::env::current_exe()?;
        let status = Command::new(tests)
            .args(["--exact", "second_derivatives"])
            .env(VARIABLE, "1")
            .status()?;
        assert!(status.success());
        return Ok(());
    }
    let (z, t, w) = data(20.0);
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
        let z = Var::from_tensor(&tensor(&z, DType::F64)?)?;
        let t = Var::from_tensor(&tensor(&t, DType::F64)?)?;
        let options = Options {
            reduction,
            weights: Some(tensor(&w, DType::F64)?),
            ..Options::default()
        };
        let loss = bce(&z, &t, &options)?.sum_all()?;
        let gradient = loss.backward()?.get(&z).unwrap().clone();
        // Of the sum of the squared gradients: twice gradient times Hessian.
        let second = gradient.sqr()?.sum_all()?.backward()?;
        let total: f64 = if reduction == Reduction::Mean {
            w.iter().sum()
        } else {
            1.0
        };
        let by_logits: Vec<f64> = values(&z)?
            .iter()
            .zip(values(&gradient)?)
            .zip(&w)
            .map(|((z, gradient), w)| {
                let s = 1.0 / (1.0 + (-z).exp());
                2.0 * gradient * s * (1.0 - s) * w / total
            })
            .collect();
        assert_close(&values(second.get(&z).unwrap())?, &by_logits, 1e-13);
        let by_targets: Vec<f64> = values(&gradient)?
            .iter()
            .zip(&w)
            .map(|(gradient, w)| -2.0 * gradient * w / total)
            .collect();
        assert_close(&values(second.get(&t).unwrap())?, &by_targets, 1e-13);
        let third = second.get(&z).unwrap().sum_all()?.backward();
        assert!(third.is_err());
    }
    Ok(())
}

#[test]
fn shapes() -> Result<()> {
    let scalar = bce(
        &Tensor::new(0.0_f64, &CPU)?,
        &Tensor::new(0.5_f64, &CPU)?,
        &Options::default(),
    )?;
    assert_eq!(scalar.to_scalar::<f64>()?, std::f64::consts::LN_2);
    let none = Options {
        reduction: Reduction::None,
        ..Options::default()
    };
    let z = Tensor::zeros((2, 3, 1, 5), DType::F32, &CPU)?;
    assert_eq!(bce(&z, &z, &none)?.dims(), &[2, 3, 1, 5]);
    let nothing = Tensor::zeros((0, 3), DType::F32, &CPU)?;
    assert_eq!(bce(&nothing, &nothing, &none)?.dims(), &[0, 3]);
    let sum = Options {
        reduction: Reduction::Sum,
        ..Options::default()
    };
    assert_eq!(bce(&nothing, &nothing, &sum)?.to_scalar::<f32>()?, 0.0);
    Ok(())
}

#[test]
fn what_is_refused() -> Result<()> {
    let z = Tensor::zeros((2, 3), DType::F32, &CPU)?;
    let refused = |t: &Tensor, options: &Options, part: &str| {
        let error = bce(&z, t, options).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let plain = Options::default();
    refused(&z.t()?, &plain, "shape mismatch");
    refused(&z.to_dtype(DType::F64)?, &plain, "dtype mismatch");
    refused(
        &Tensor::new(&[[0.0_f32, 1.0, 0.5], [0.5, 0.5, 1.5]], &CPU)?,
        &plain,
        "target 1.5 at index 5",
    );
    refused(
        &z,
        &Options {
            pos_weight: -1.0,
            ..plain.clone()
        },
        "pos_weight",
    );
    refused(
        &z,
        &Options {
            label_smoothing: f64::NAN,
            ..plain.clone()
        },
        "label_smoothing",
    );
    let weights = Some(Tensor::new(&[1.0_f32, -1.0, 1.0], &CPU)?);
    refused(
        &z,
        &Options {
            weights,
            ..plain.clone()
        },
        "weight -1 at index 1",
    );
    let weights = Some(Tensor::new(&[1.0_f32, 1.0], &CPU)?);
    refused(
        &z,
        &Options {
            weights,
            ..plain.clone()
        },
        "broadcast",
    );
    refused(
        &z,
        &Options {
            weights: Some(z.clone()),
            ..plain.clone()
        },
        "mean of nothing",
    );

    let integers = Tensor::zeros((2, 3), DType::U32, &CPU)?;
    let error = bce(&integers, &integers, &plain).unwrap_err().to_string();
    assert!(error.contains("U32"), "{error}");
    let nothing = Tensor::zeros(0, DType::F32, &CPU)?;
    assert!(bce(&nothing, &nothing, &plain).is_err());
    Ok(())
}
