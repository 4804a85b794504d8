//! Every backend gives, for every element of a slice, the bits that `Scalar` gives for that element
//! alone, with the weights of its row and class, and sums and means that are those of these bits.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rug::Float;
use soft_bce::{Backend, Error, LossSum, probability};
use soft_bce_fuzz::{
    Arrays, Elements, Function, Loss, Operation, Options, Placed, Real, Settings, bits, bits_of,
    exact_sum, function, operation, teachers,
};

#[derive(Arbitrary, Debug)]
struct Input {
    double: bool,
    #[arbitrary(with = operation)]
    operation: Operation,
    call: Call,
    /// Whether what has no weight is no number either.
    masked: bool,
    settings: Settings,
    output_offsets: [u8; 3],
    elements: Elements,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Call {
    Bce,
    Bce2,
    Bce3,
    /// sigmoid and so on, which run on the fastest backend, as the next.
    Slices(#[arbitrary(with = function)] Function),
    Probability,
}

fuzz_target!(|input: Input| {
    if input.double {
        check::<f64>(&input);
    } else {
        check::<f32>(&input);
    }
});

fn check<F: Real>(input: &Input) {
    match input.call {
        Call::Slices(function) => check_slices::<F>(function, input),
        Call::Probability => check_probability::<F>(input),
        _ => check_bce::<F>(input),
    }
}

/// The call of one element, of that weight.
fn alone<F: Real>(options: &Options<F>, i: usize) -> Options<F> {
    let classes = options.pos_weights.as_deref().unwrap_or(&[]);
    let of_class = (!classes.is_empty()).then(|| classes[i % classes.len()]);
    // A pos_weight of 1 is none, but one of a class is.
    let one = of_class.filter(|p| p.to_f64() == 1.0);
    Options {
        weighted: options.is_weighted(),
        row_weights: None,
        pos_weight: of_class.filter(|_| one.is_none()).or(options.pos_weight),
        pos_weights: one.map(|p| vec![p]),
        ..*options
    }
}

fn check_bce<F: Real>(input: &Input) {
    let count = input.elements.arrays::<F>().z.get().len();
    let options = input.settings.valid::<F>(count);
    let temperature = options.temperature.map_or(1.0, |of| of.to_f64());
    let Arrays { z, mut t, mut w } = input.elements.arrays_at::<F>(temperature);
    let z = z.get();
    if options.logit_targets {
        let teachers = teachers(z, t.get());
        t.get_mut().copy_from_slice(&teachers);
    }
    let weights: Vec<F> = (0..z.len())
        .map(|i| options.weight(i, z.len(), w.get()[i]))
        .collect();
    if input.masked && options.is_weighted() {
        for (i, weight) in weights.iter().enumerate() {
            if weight.to_f64() == 0.0 {
                t.get_mut()[i] = F::from_f64(f64::NAN);
                if w.get()[i].to_f64() != 0.0 && options.row_is_removed(i, z.len()) {
                    w.get_mut()[i] = F::from_f64(f64::NAN);
                }
            }
        }
    }
    let (t, w) = (t.get(), w.get());
    let hessian = input.operation.output_names().contains(&"hessian");
    let operation = match options.loss {
        Loss::Focal if hessian => Operation::LossGradient,
        _ => input.operation,
    };

    let zero = F::from_f64(0.0);
    let mut expected = [const { Vec::new() }; 3];
    for i in 0..z.len() {
        let alone = alone(&options, i);
        let bce = alone.bce(&weights[i..=i]).backend(Backend::Scalar).unwrap();
        let (mut loss, mut gradient, mut hessian) = ([zero], [zero], [zero]);
        let (z, t) = (&z[i..=i], &t[i..=i]);
        let mut sum = LossSum::new();
        let outputs = [&mut loss[..], &mut [], &mut []];
        F::run(Operation::Loss, &bce, z, t, outputs, &mut sum).unwrap();
        let outputs = [&mut gradient[..], &mut hessian, &mut []];
        let derivatives = match options.loss {
            Loss::Focal => Operation::Gradient,
            _ => Operation::GradientHessian,
        };
        F::run(derivatives, &bce, z, t, outputs, &mut sum).unwrap();
        for (list, [value]) in expected.iter_mut().zip([loss, gradient, hessian]) {
            list.push(value);
        }
    }
    let [losses, mut gradients, hessians] = expected;
    let bce = options.bce(w);
    let total = exact_sum(losses.iter().map(|loss| loss.to_f64()));
    let number = match operation {
        Operation::Sum | Operation::SumGradient | Operation::SumGradientHessian => {
            Ok(total.to_f64())
        }
        Operation::Mean | Operation::MeanGradient => {
            mean(operation, &options, [z, t, w, &weights], &mut gradients)
        }
        _ => Ok(0.0),
    };

    for backend in Backend::available() {
        let bce = bce.backend(backend).unwrap();
        let before = if operation == Operation::GradientInPlace {
            z.to_vec()
        } else {
            vec![F::from_f64(7.0); z.len()]
        };
        let [mut first, mut second, mut third] =
            input.output_offsets.map(|at| Placed::new(&before, at));
        let mut sum = LossSum::new();
        let outputs = [first.get_mut(), second.get_mut(), third.get_mut()];
        let result = F::run(operation, &bce, z, t, outputs, &mut sum);
        let name = backend.name();
        assert_eq!(
            result.map(bits_of),
            number.map(bits_of),
            "{name}: {result:?} instead of {number:?}"
        );
        let written = operation.output_names().iter().map(|name| match *name {
            "loss" => &losses,
            "gradient" => &gradients,
            _ => &hessians,
        });
        let written = written.map(Some).chain(std::iter::repeat(None));
        for (output, expected) in [first, second, third].iter().zip(written) {
            output.assert_others_untouched();
            // There are no errors here but that of a mean of nothing.
            let expected = match (expected, result) {
                (Some(_), Err(_)) => &vec![F::from_f64(f64::NAN); z.len()],
                (Some(expected), Ok(_)) => expected,
                (None, _) => &before,
            };
            assert_eq!(bits(output.get()), bits(expected), "{name}");
        }
        if operation == Operation::Accumulate {
            assert_eq!(sum, total, "{name}");
        }
    }
}

/// The mean that `Scalar` has, and its gradients: the quotients that define them, from what has no
/// weights, but for a rounding of each product, and of the result.
fn mean<F: Real>(
    operation: Operation,
    options: &Options<F>,
    [z, t, w, weights]: [&[F]; 4],
    gradients: &mut Vec<F>,
) -> Result<f64, Error> {
    let run = |operation, options: &Options<F>, t: &[F], first: &mut [F], second: &mut [F]| {
        let bce = options.bce(w).backend(Backend::Scalar).unwrap();
        let outputs = [first, second, &mut []];
        F::run(operation, &bce, z, t, outputs, &mut LossSum::new())
    };
    let mut divided = vec![F::from_f64(7.0); z.len()];
    let mean = run(operation, options, t, &mut divided, &mut []);

    let (mut losses, mut slopes) = (divided.clone(), divided.clone());
    let unweighted = Options {
        weighted: false,
        row_weights: None,
        ..options.clone()
    };
    let valid = |&t: &F| {
        if t.to_f64().is_nan() {
            F::from_f64(0.5)
        } else {
            t
        }
    };
    let valid: Vec<F> = t.iter().map(valid).collect();
    let both = Operation::LossGradient;
    run(both, &unweighted, &valid, &mut losses, &mut slopes).unwrap();

    // Exact: from 2^-2148 to beyond 2^2048.
    let exact = |value: f64| Float::with_val(4400, value);
    let mut divisor = exact(0.0);
    let mut sum = exact(0.0);
    for (loss, weight) in losses.iter().zip(weights) {
        let weight = weight.to_f64();
        divisor += weight;
        if weight != 0.0 {
            sum += exact(loss.to_f64()) * weight;
        }
    }
    assert_eq!(mean.is_err(), divisor == 0, "{mean:?}");
    let Ok(value) = mean else {
        *gradients = divided;
        return mean;
    };
    let unit = 2.0_f64.powi(-F::PRECISION);
    let least = F::from_bits(1).to_f64();
    let most_finite = F::from_bits(F::from_f64(f64::INFINITY).to_bits() - 1).to_f64();
    let assert_near = |found: f64, right: Float, roundings: f64, absolute: f64| {
        // Those roundings may lead from the largest number to infinity.
        let found = found.clamp(-most_finite, most_finite);
        let right = Float::with_val(128, &right / &divisor);
        let error = Float::with_val(128, &right - found).abs();
        let most = right.abs() * (roundings * unit) + Float::with_val(128, least) * absolute;
        assert!(error <= most, "{found:e}");
    };
    if sum.is_finite() {
        assert_near(value, sum, 3.01, 8.0 * z.len() as f64);
    } else {
        assert_eq!(value.is_nan(), sum.is_nan());
        assert!(value.is_nan() || value == f64::INFINITY);
    }
    if operation == Operation::MeanGradient {
        for (i, &gradient) in divided.iter().enumerate() {
            let slope = slopes[i].to_f64();
            if weights[i].to_f64() == 0.0 {
                assert_eq!(gradient.to_bits(), 0);
            } else if slope.is_finite() {
                let right = exact(slope) * weights[i].to_f64();
                assert_near(gradient.to_f64(), right, 3.01, 8.0);
                // A gradient's zero is +0, a negative one's that underflows too.
                assert!(options.exact || gradient.to_f64() != 0.0 || gradient.to_bits() == 0);
            } else {
                assert_eq!(bits_of(gradient), bits_of(slopes[i]));
            }
        }
    }
    *gradients = divided;
    mean
}

/// A slice gives what its elements give alone, at any length and alignment.
fn check_slices<F: Real>(function: Function, input: &Input) {
    let Arrays { z, t, .. } = input.elements.arrays::<F>();
    let from = if function == Function::Logit { t } else { z };
    check_elements(from.get(), input.output_offsets[0], |at, to| {
        F::map(function, &from.get()[at], to)
    });
}

/// `call` gives for each element what it gives for all.
fn check_elements<F: Real>(
    of: &[F],
    offset: u8,
    call: impl Fn(std::ops::Range<usize>, &mut [F]) -> Option<Result<(), Error>>,
) -> Vec<F> {
    let mut alone = vec![F::from_f64(7.0); of.len()];
    for (i, to) in alone.chunks_mut(1).enumerate() {
        if let Some(result) = call(i..i + 1, to) {
            result.unwrap();
        }
    }
    let mut together = Placed::new(&vec![F::from_f64(7.0); of.len()], offset);
    if let Some(result) = call(0..of.len(), together.get_mut()) {
        result.unwrap();
    }
    together.assert_others_untouched();
    assert_eq!(bits(together.get()), bits(&alone));
    alone
}

fn check_probability<F: Real>(input: &Input) {
    let Arrays { t: p, w: y, .. } = input.elements.arrays::<F>();
    let (p, y) = (p.get(), y.get());
    let y: Vec<F> = y
        .iter()
        .map(|&y| F::from_f64(y.to_f64().min(1.0)))
        .collect();
    let losses = check_elements(p, input.output_offsets[0], |at, to| {
        Some(probability::loss(&y[at.clone()], &p[at], to))
    });
    check_elements(p, input.output_offsets[1], |at, to| {
        Some(probability::gradient(&y[at.clone()], &p[at], to))
    });
    let sum = exact_sum(losses.iter().map(|loss| loss.to_f64())).to_f64();
    assert_eq!(probability::sum(&y, p), Ok(sum));
    let mean = probability::mean(&y, p);
    assert_eq!(mean.is_err(), p.is_empty());
    if let Ok(mean) = mean
        && sum.is_finite()
        && sum.abs() < 1e300
    {
        assert!((mean - sum / p.len() as f64).abs() <= mean * f64::EPSILON);
    }
}
