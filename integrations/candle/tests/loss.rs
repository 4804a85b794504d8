//! Values and gradients against candle's own loss where that is finite, and against the formula
//! and finite differences in `f64` everywhere.

use std::process::Command;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::loss::binary_cross_entropy_with_logit as candles_own;
use soft_bce::Error::{InvalidPosWeight, TargetOutOfRange};
use soft_bce_candle::{Options, Reduction, binary_cross_entropy_with_logits as bce, kernel_error};

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

/// The definition in `f64`, with `pos_weight` p.
fn loss(z: f64, t: f64, w: f64, p: f64, options: &Options) -> f64 {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let (z, t) = match options.logit_targets {
        true => (z, 1.0 / (1.0 + (-t / options.temperature).exp())),
        false => (z, t + options.label_smoothing * (0.5 - t)),
    };
    let z = z / options.temperature;
    w * (p * t * softplus(-z) + (1.0 - t) * softplus(z))
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

/// Logits of 100 rows of 4 classes, with targets and weights.
fn of_classes(reach: f64, dtype: DType) -> Result<[Tensor; 3]> {
    let (z, t, w) = data(reach);
    let table = |values: &[f64]| tensor(&values[..400], dtype)?.reshape((100, 4));
    Ok([table(&z)?, table(&t)?, table(&w)?])
}

const CLASSES: [f64; 4] = [0.25, 1.0, 3.0, 2.0];

/// All options, alone or as they go together.
fn every_option(weights: &Tensor) -> Result<Vec<Options>> {
    let plain = Options::default();
    let weighted = Options {
        weights: Some(weights.clone()),
        ..plain.clone()
    };
    let by_class = Options {
        pos_weights: Some(Tensor::new(&CLASSES, &CPU)?),
        ..plain.clone()
    };
    Ok(vec![
        Options {
            pos_weight: 3.0,
            label_smoothing: 0.1,
            ..plain.clone()
        },
        Options {
            pos_weight: 0.25,
            label_smoothing: 0.5,
            ..weighted.clone()
        },
        Options {
            temperature: 2.5,
            ..plain.clone()
        },
        Options {
            label_smoothing: 0.1,
            temperature: 2.5,
            weights: Some(weights.clone()),
            ..by_class.clone()
        },
        Options {
            logit_targets: true,
            ..plain.clone()
        },
        Options {
            logit_targets: true,
            temperature: 0.5,
            ..weighted.clone()
        },
        plain,
        weighted,
        by_class,
    ])
}

#[test]
fn finite_differences_with_every_option() -> Result<()> {
    let step = 1e-5;
    for reach in [3.0, 40.0, 800.0] {
        let [logits, targets, weights] = of_classes(reach, DType::F64)?;
        let (z, t, w) = (values(&logits)?, values(&targets)?, values(&weights)?);
        for options in every_option(&weights)? {
            let weight = |i: usize| options.weights.as_ref().map_or(1.0, |_| w[i]);
            let p = |i: usize| match options.pos_weights {
                Some(_) => CLASSES[i % 4],
                None => options.pos_weight,
            };
            let at = |i: usize, z: f64| loss(z, t[i], weight(i), p(i), &options);
            let losses: Vec<f64> = z.iter().enumerate().map(|(i, &z)| at(i, z)).collect();
            let sum: f64 = losses.iter().sum();
            let total: f64 = (0..z.len()).map(weight).sum();
            for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
                let var = Var::from_tensor(&logits)?;
                let options = Options {
                    reduction,
                    ..options.clone()
                };
                let found = bce(&var, &targets, &options)?;
                let (wanted, divisor) = match reduction {
                    Reduction::Mean => (vec![sum / total], total),
                    Reduction::Sum => (vec![sum], 1.0),
                    Reduction::None => (losses.clone(), 1.0),
                };
                assert_close(&values(&found)?, &wanted, 1e-12);

                // Other than 1, and another for each element where nothing is reduced.
                let outer: Vec<f64> = match reduction {
                    Reduction::None => z.iter().map(|z| (z / reach).cos()).collect(),
                    _ => vec![0.7],
                };
                let scaled = found.flatten_all()?.mul(&tensor(&outer, DType::F64)?)?;
                let gradient = scaled.sum_all()?.backward()?.get(&var).unwrap().clone();
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
    let [logits, targets, weights] = of_classes(20.0, DType::F32)?;
    let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let (z, t, w) = (flat(&logits)?, flat(&targets)?, flat(&weights)?);
    for options in every_option(&weights)? {
        let classes = CLASSES.map(|p| p as f32);
        let mut kernel = soft_bce::Bce::new().label_smoothing(options.label_smoothing as f32);
        kernel = match options.pos_weights {
            Some(_) => kernel.pos_weights(&classes),
            None => kernel.pos_weight(options.pos_weight as f32),
        };
        if options.weights.is_some() {
            kernel = kernel.weights(&w);
        }
        if options.temperature != 1.0 {
            kernel = kernel.temperature(options.temperature as f32);
        }
        if options.logit_targets {
            kernel = kernel.logit_targets();
        }
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            let (mut losses, mut wanted) = (vec![0.0; z.len()], vec![0.0; z.len()]);
            match reduction {
                Reduction::Mean => {
                    losses = vec![kernel.mean_gradient(&z, &t, &mut wanted).unwrap() as f32]
                }
                Reduction::Sum => {
                    losses = vec![kernel.sum_gradient(&z, &t, &mut wanted).unwrap() as f32]
                }
                Reduction::None => kernel
                    .loss_gradient(&z, &t, &mut losses, &mut wanted)
                    .unwrap(),
            }
            let options = Options {
                reduction,
                ..options.clone()
            };
            let var = Var::from_tensor(&logits)?;
            let found = bce(&var, &targets, &options)?;
            assert_eq!(flat(&found)?, losses);
            assert_eq!(
                flat(&bce(&logits, &targets, &options)?)?,
                losses,
                "without a gradient"
            );
            assert_eq!(
                flat(found.sum_all()?.backward()?.get(&var).unwrap())?,
                wanted
            );
        }
    }
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
        temperature: 2.0,
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
        .map(|(z, w)| -0.75 * z * w / total / 2.0)
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
    let logits = Var::from_tensor(&tensor(&z, DType::F64)?)?;
    let plain = Options::default();
    for options in [
        Options {
            pos_weight: 2.0,
            ..plain.clone()
        },
        Options {
            pos_weights: Some(tensor(&vec![2.0; z.len()], DType::F64)?),
            ..plain.clone()
        },
        Options {
            logit_targets: true,
            ..plain.clone()
        },
    ] {
        let loss = bce(&tensor(&z, DType::F64)?, &var, &options)?;
        let error = loss.backward().unwrap_err().to_string();
        assert!(error.contains("no gradient by the targets"), "{error}");
        let loss = bce(&logits, &var.detach(), &options)?;
        assert!(loss.backward()?.get(&logits).is_some());
    }
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
            temperature: 2.0,
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
                let s = 1.0 / (1.0 + (-z / 2.0).exp());
                2.0 * gradient * s * (1.0 - s) * w / total / 4.0
            })
            .collect();
        assert_close(&values(second.get(&z).unwrap())?, &by_logits, 1e-13);
        let by_targets: Vec<f64> = values(&gradient)?
            .iter()
            .zip(&w)
            .map(|(gradient, w)| -gradient * w / total)
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

    let pos_weights = |values: &[f32]| -> Result<Options> {
        Ok(Options {
            pos_weights: Some(Tensor::new(values, &CPU)?),
            ..plain.clone()
        })
    };
    refused(&z, &pos_weights(&[1.0, 1.0])?, "expected: [3], got: [2]");
    refused(&z, &pos_weights(&[1.0, 1.0, 0.0])?, "of class 2");
    let both = Options {
        pos_weight: 2.0,
        ..pos_weights(&[1.0, 2.0, 3.0])?
    };
    refused(&z, &both, "pos_weights excludes pos_weight");
    let temperature = Options {
        temperature: 0.0,
        ..plain.clone()
    };
    refused(&z, &temperature, "temperature");
    let smoothed = Options {
        logit_targets: true,
        label_smoothing: 0.1,
        ..plain.clone()
    };
    refused(&z, &smoothed, "logit_targets() excludes");

    // As the kernel's own error.
    let error = bce(&z, &z, &pos_weights(&[1.0, f32::INFINITY, 0.0])?).unwrap_err();
    let wanted = InvalidPosWeight {
        class: 1,
        value: f64::INFINITY,
    };
    assert_eq!(kernel_error(&error), Some(&wanted));
    let error = bce(&z, &z.affine(0.0, -1.0)?, &plain).unwrap_err();
    let wanted = TargetOutOfRange {
        index: 0,
        value: -1.0,
    };
    assert_eq!(kernel_error(&error.context("a step")), Some(&wanted));
    assert_eq!(kernel_error(&bce(&z, &z.t()?, &plain).unwrap_err()), None);

    let integers = Tensor::zeros((2, 3), DType::U32, &CPU)?;
    let error = bce(&integers, &integers, &plain).unwrap_err().to_string();
    assert!(error.contains("U32"), "{error}");
    let nothing = Tensor::zeros(0, DType::F32, &CPU)?;
    assert!(bce(&nothing, &nothing, &plain).is_err());
    Ok(())
}
