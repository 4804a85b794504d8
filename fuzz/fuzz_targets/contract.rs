//! Errors exactly where the contract says, with what they name; inputs unchanged; outputs fully
//! written, untouched or all NaN.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use soft_bce::{Backend, Error, LossSum, probability};
use soft_bce_fuzz::{
    Arrays, Elements, Function, Loss, Number, Operation, Options, Placed, Real, Settings, bits,
    function, operation, teachers,
};

#[derive(Arbitrary, Debug)]
struct Input {
    double: bool,
    call: Call,
    backend: u8,
    settings: Settings,
    /// Any numbers, in any place: some are no targets or weights.
    targets: Vec<(u16, Number)>,
    weights: Vec<(u16, Number)>,
    /// How much shorter or longer than the logits: targets, weights, three outputs.
    longer: [i8; 5],
    elements: Elements,
}

#[derive(Arbitrary, Debug)]
enum Call {
    Bce(#[arbitrary(with = operation)] Operation),
    Map(#[arbitrary(with = function)] Function),
    Probability(u8),
}

/// Most lengths are right.
fn resized<F: Real>(values: &[F], longer: i8) -> Vec<F> {
    let change = isize::from(if longer % 4 == 3 { longer / 4 } else { 0 });
    let length = values.len().saturating_add_signed(change);
    let mut values = values.to_vec();
    values.resize(length, F::from_f64(0.5));
    values
}

fn with<F: Real>(values: &[F], changes: &[(u16, Number)]) -> Vec<F> {
    let mut values = values.to_vec();
    for (at, number) in changes {
        if !values.is_empty() {
            let at = usize::from(*at) % values.len();
            values[at] = number.value();
        }
    }
    values
}

fn is_target<F: Real>(value: F) -> bool {
    (0.0..=1.0).contains(&value.to_f64())
}

/// Equal, where NaN equals NaN.
fn same(a: Error, b: Error) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// Without prose.
fn plain(error: Error) -> Error {
    match error {
        Error::UnsupportedOptions { .. } => Error::UnsupportedOptions { reason: "" },
        Error::InvalidOption { option, value, .. } => Error::InvalidOption {
            option,
            value,
            range: "",
        },
        error => error,
    }
}

/// Why the call must fail: any of these may be named, and nothing else. Lengths come before options,
/// options before having nothing to divide by, and that before elements.
fn faults<F: Real>(
    operation: Operation,
    lengths: &[(&'static str, usize)],
    [t, w]: [&[F]; 2],
    options: &Options<F>,
) -> Vec<Error> {
    let expected = lengths[0].1;
    let parts = [
        ("pos_weights", &options.pos_weights),
        ("row_weights", &options.row_weights),
    ];
    let parts = parts.map(|(argument, of)| (argument, of.as_deref().unwrap_or(&[])));
    let given = [&options.pos_weights, &options.row_weights];
    let divides = |found| expected == 0 || found > 0 && expected.is_multiple_of(found);
    let no_parts = parts.iter().zip(given).filter(|(_, given)| given.is_some());
    let no_parts = no_parts.map(|((argument, of), _)| (*argument, of.len()));
    let faults: Vec<Error> = lengths
        .iter()
        .copied()
        .filter(|&(_, found)| found != expected)
        .chain(no_parts.filter(|&(_, found)| !divides(found)))
        .map(|(argument, found)| Error::LengthMismatch {
            argument,
            expected,
            found,
        })
        .collect();
    if !faults.is_empty() {
        return faults;
    }
    let faults = faults_of_options(operation, parts.map(|(_, of)| of), options);
    if !faults.is_empty() {
        return faults;
    }
    let own = |i: usize| {
        if options.weighted {
            w[i]
        } else {
            F::from_f64(1.0)
        }
    };
    // A negative weight is one also where its product underflows.
    let removed = |i: usize| {
        let is_zero = options.weight(i, expected, own(i)).to_f64() == 0.0;
        options.row_is_removed(i, expected) || is_zero && own(i).to_f64() >= 0.0
    };
    if operation.is_mean() && (0..expected).all(removed) {
        return vec![Error::Empty];
    }
    let valid = |weight: f64| (0.0..f64::INFINITY).contains(&weight);
    let first = (0..expected).filter(|&i| !removed(i)).find_map(|index| {
        let value = t[index].to_f64();
        let weight = options.weight(index, expected, own(index)).to_f64();
        let own = own(index).to_f64();
        if !is_target_of(options, t[index]) {
            Some(Error::TargetOutOfRange { index, value })
        } else if !(valid(own) && valid(weight)) {
            let value = if valid(own) { weight } else { own };
            Some(Error::InvalidWeight { index, value })
        } else {
            None
        }
    });
    first.into_iter().collect()
}

fn is_target_of<F: Real>(options: &Options<F>, t: F) -> bool {
    let tolerance = options.target_tolerance.map_or(0.0, |of| of.to_f64());
    let t = t.to_f64();
    if options.logit_targets {
        !t.is_nan()
    } else if t < 0.0 {
        -t <= tolerance
    } else {
        t <= 1.0 || t - 1.0 <= tolerance
    }
}

fn faults_of_options<F: Real>(
    operation: Operation,
    [classes, rows]: [&[F]; 2],
    options: &Options<F>,
) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut check = |option, value: Option<F>, valid: fn(f64) -> bool| {
        if let Some(value) = value.map(|value| value.to_f64())
            && !valid(value)
        {
            faults.push(Error::InvalidOption {
                option,
                value,
                range: "",
            });
        }
    };
    let positive = |value| value > 0.0 && value < f64::INFINITY;
    let not_negative = |value| (0.0..f64::INFINITY).contains(&value);
    check("pos_weight", options.pos_weight, positive);
    check("temperature", options.temperature, positive);
    check("label_smoothing", options.label_smoothing, |alpha| {
        (0.0..=1.0).contains(&alpha)
    });
    check("target_tolerance", options.target_tolerance, not_negative);
    let beta = Some(options.beta).filter(|_| options.loss == Loss::Focal);
    check("beta", beta, not_negative);
    if faults.is_empty() {
        let first = |of: &[F], valid: fn(f64) -> bool| {
            let mut values = of.iter().map(|value| value.to_f64()).enumerate();
            values.find(|&(_, value)| !valid(value))
        };
        let class = first(classes, positive);
        let row = first(rows, not_negative);
        let row = row.map(|(row, value)| Error::InvalidRowWeight { row, value });
        let class = class.map(|(class, value)| Error::InvalidPosWeight { class, value });
        faults.extend(class.into_iter().chain(row));
    }
    if !faults.is_empty() {
        return faults;
    }
    let set = |value: Option<F>, default: f64| value.is_some_and(|of| of.to_f64() != default);
    let pos_weight = set(options.pos_weight, 1.0);
    let reshaped = pos_weight || set(options.label_smoothing, 0.0) || options.pos_weights.is_some();
    let other = options.loss != Loss::CrossEntropy;
    let teacher = options.logit_targets;
    let unsupported = pos_weight && options.pos_weights.is_some()
        || options.excess && (reshaped || options.exact || other)
        || options.exact && (reshaped || options.is_weighted() || other || teacher)
        || options.exact && options.temperature.is_some()
        || other && (reshaped || teacher)
        || teacher && (reshaped || set(options.target_tolerance, 0.0))
        || options.loss == Loss::Focal && operation.output_names().contains(&"hessian");
    if unsupported {
        faults.push(Error::UnsupportedOptions { reason: "" });
    }
    faults
}

fn check_bce<F: Real>(input: &Input, operation: Operation) {
    let Arrays { z, t, w } = input.elements.arrays::<F>();
    let count = z.get().len();
    let options = input.settings.options::<F>(count);
    let t = if options.logit_targets {
        teachers(z.get(), t.get())
    } else {
        t.get().to_vec()
    };
    let t = resized(&with(&t, &input.targets), input.longer[0]);
    let w = resized(&with(w.get(), &input.weights), input.longer[1]);
    let in_place = operation == Operation::GradientInPlace;

    let mut bce = options.bce(&w);
    let named = [
        Backend::Scalar,
        Backend::Wide,
        Backend::Avx2,
        Backend::Avx512,
    ][usize::from(input.backend % 4)];
    bce = match bce.backend(named) {
        Ok(bce) => {
            assert!(named.is_available());
            bce
        }
        Err(error) => {
            let backend = named.name();
            assert!(!named.is_available() && error == Error::BackendUnavailable { backend });
            bce
        }
    };

    let outputs = operation.outputs();
    let length_of = |longer| resized(z.get(), longer).len();
    let [.., a, b, c] = input.longer;
    let output_lengths = [a, b, c].map(length_of);
    let mut lengths = vec![("z", count), ("t", t.len())];
    lengths.extend(options.weighted.then_some(("weights", w.len())));
    if !in_place {
        let names = operation.output_names().iter().copied();
        lengths.extend(names.zip(output_lengths));
    }
    let faults = faults(operation, &lengths, [&t, &w], &options);

    // An element that a call forgets to write is NaN where it should succeed, and 7 where not.
    let filler = F::from_f64(if faults.is_empty() { f64::NAN } else { 7.0 });
    let [mut first, mut second, mut third] =
        output_lengths.map(|length| Placed::new(&vec![filler; length], input.backend));
    if in_place {
        first = z.clone();
    }
    let before = [first.clone(), second.clone(), third.clone()];

    let (t_before, w_before) = (bits(&t), bits(&w));
    let mut sum = LossSum::new();
    sum.add(1.5);
    let sum_before = sum.clone();
    let result = F::run(
        operation,
        &bce,
        z.get(),
        &t,
        [first.get_mut(), second.get_mut(), third.get_mut()],
        &mut sum,
    );
    assert_eq!((bits(&t), bits(&w)), (t_before, w_before));
    let after = [first, second, third];
    after.iter().for_each(Placed::assert_others_untouched);

    let Err(error) = result else {
        assert!(faults.is_empty(), "accepted: {faults:?}");
        let added = if operation == Operation::Accumulate {
            count
        } else {
            0
        };
        assert_eq!(sum.count(), 1 + added as u64);
        for (output, name) in after.iter().zip(operation.output_names()) {
            for (i, value) in output.get().iter().enumerate() {
                let own = w.get(i).copied().unwrap_or(F::from_f64(1.0));
                if options.weight(i, count, own).to_f64() != 0.0 {
                    let (z, t, value) = (z.get()[i].to_f64(), t[i].to_f64(), value.to_f64());
                    check_value(&options, name, z, t, value);
                } else {
                    assert_eq!(value.to_bits(), 0, "element {i}");
                }
            }
        }
        return;
    };
    assert_eq!(sum, sum_before);
    let error = plain(error);
    assert!(
        faults.iter().any(|fault| same(*fault, error)),
        "{error:?}, not of {faults:?}"
    );
    for (i, (output, before)) in after.iter().zip(&before).enumerate() {
        if i >= outputs || in_place {
            assert_eq!(bits(output.get()), bits(before.get()));
        } else {
            assert!(output.get().iter().all(|value| value.to_f64().is_nan()));
        }
    }
}

/// What the inputs alone say of a result, whatever the rounding: NaN, limits, signs, zeros.
fn check_value<F: Real>(options: &Options<F>, name: &str, z: f64, t: f64, value: f64) {
    let shown = format!("{name} {value:e} at {z:e}, {t:e} of {options:?}");
    assert_eq!(value.is_nan(), z.is_nan(), "{shown}");
    if value.is_nan() {
        return;
    }
    let smoothed = options.label_smoothing.is_some_and(|of| of.to_f64() != 0.0);
    let weighted = options.pos_weight.is_some() || options.pos_weights.is_some();
    let t = if options.logit_targets {
        t
    } else {
        t.clamp(0.0, 1.0)
    };
    let teacher = options.logit_targets;
    // Not -0 either, which exact sums take for an infinity.
    assert!(name != "loss" || value.is_sign_positive(), "{shown}");
    match name {
        "loss" if options.loss == Loss::SquaredError => {}
        "loss" if z.is_infinite() => {
            let certain = if teacher {
                z
            } else if z > 0.0 {
                1.0
            } else {
                0.0
            };
            let zero = t == certain && !smoothed;
            let limit = if zero { 0.0 } else { f64::INFINITY };
            assert_eq!(value, limit, "{shown}");
        }
        "loss" => assert!(
            !(options.excess && teacher && z == t) || value == 0.0,
            "{shown}"
        ),
        "gradient" if teacher => {
            let right = value == 0.0 || (value > 0.0) == (z > t);
            assert!(right && (z != t || value == 0.0), "{shown}");
        }
        // s - t has this sign, whatever it is multiplied by.
        "gradient" if !weighted && z >= 0.0 && t <= 0.5 => assert!(value >= 0.0, "{shown}"),
        "gradient" if !weighted && z <= 0.0 && t >= 0.5 => assert!(value <= 0.0, "{shown}"),
        "hessian" if options.loss == Loss::CrossEntropy => assert!(value >= 0.0, "{shown}"),
        _ => {}
    }
}

/// Errors of the functions of probabilities, and their limits.
fn check_probability<F: Real>(input: &Input, function: u8) {
    let Arrays { t, w, .. } = input.elements.arrays::<F>();
    let ones = |w: &F| F::from_f64(w.to_f64().min(1.0));
    let ones: Vec<F> = w.get().iter().map(ones).collect();
    let y = resized(&with(&ones, &input.weights), input.longer[0]);
    let p = with(t.get(), &input.targets);
    let output_length = resized(&p, input.longer[2]).len();
    let mut out = Placed::new(&vec![F::from_f64(7.0); output_length], input.backend);
    let (result, output) = match function % 4 {
        0 => (probability::loss(&y, &p, out.get_mut()), Some("loss")),
        1 => (
            probability::gradient(&y, &p, out.get_mut()),
            Some("gradient"),
        ),
        2 => (probability::sum(&y, &p).map(drop), None),
        _ => (probability::mean(&y, &p).map(drop), None),
    };
    out.assert_others_untouched();
    let lengths = [("p", p.len())].into_iter();
    let mut lengths = lengths.chain(output.map(|name| (name, output_length)));
    let expected = y.len();
    let outside = |of: &[F]| {
        let at = of.iter().position(|&value| !is_target(value));
        at.map(|index| (index, of[index].to_f64()))
    };
    let fault = if function % 4 == 3 && y.is_empty() && p.is_empty() {
        Some(Error::Empty)
    } else if let Some((argument, found)) = lengths.find(|&(_, found)| found != expected) {
        Some(Error::LengthMismatch {
            argument,
            expected,
            found,
        })
    } else if let Some((index, value)) = outside(&p) {
        Some(Error::ProbabilityOutOfRange { index, value })
    } else {
        outside(&y).map(|(index, value)| Error::TargetOutOfRange { index, value })
    };
    match (result, fault) {
        (Err(error), Some(fault)) => {
            assert!(same(error, fault), "{error:?} instead of {fault:?}");
            assert!(output.is_none() || out.get().iter().all(|value| value.to_f64().is_nan()));
        }
        (Ok(()), None) => {
            for ((y, p), value) in y.iter().zip(&p).zip(out.get()) {
                let (y, p, value) = (y.to_f64(), p.to_f64(), value.to_f64());
                let impossible = p == 0.0 && y > 0.0 || p == 1.0 && y < 1.0;
                match output {
                    Some("loss") => assert!(
                        value >= 0.0 && (value == f64::INFINITY) == impossible,
                        "{value:e} at {y:e}, {p:e}"
                    ),
                    Some(_) => assert!(
                        value == 0.0 || (value > 0.0) == (p > y) || p == y,
                        "{value:e} at {y:e}, {p:e}"
                    ),
                    None => {}
                }
            }
        }
        (result, fault) => panic!("{result:?} although {fault:?}"),
    }
}

fn check_slice<F: Real>(input: &Input, function: Function) {
    let takes_probability = function == Function::Logit;
    let Arrays { z, t, .. } = input.elements.arrays::<F>();
    let from = if takes_probability {
        with(t.get(), &input.targets)
    } else {
        z.get().to_vec()
    };
    let before = resized(&vec![F::from_f64(7.0); from.len()], input.longer[2]);
    let mut out = Placed::new(&before, input.backend);
    let from_before = bits(&from);
    let Some(result) = F::map(function, &from, out.get_mut()) else {
        return;
    };
    assert_eq!(bits(&from), from_before);
    out.assert_others_untouched();
    let (expected, found) = (from.len(), before.len());
    let bad = takes_probability
        .then(|| from.iter().position(|&p| !is_target(p)))
        .flatten();
    match (result, bad) {
        (Err(error), _) if expected != found => {
            let argument = "out";
            assert_eq!(
                error,
                Error::LengthMismatch {
                    argument,
                    expected,
                    found
                }
            );
            assert!(out.get().iter().all(|value| value.to_f64().is_nan()));
        }
        (Err(error), Some(index)) => {
            let value = from[index].to_f64();
            assert!(
                same(error, Error::TargetOutOfRange { index, value }),
                "{error:?}"
            );
            assert!(out.get().iter().all(|value| value.to_f64().is_nan()));
        }
        (Ok(()), None) => {
            assert_eq!(expected, found);
            for (from, to) in from.iter().zip(out.get()) {
                assert_eq!(from.to_f64().is_nan(), to.to_f64().is_nan());
            }
        }
        (result, bad) => panic!("{result:?} although {bad:?}"),
    }
}

fn check<F: Real>(input: &Input) {
    match input.call {
        Call::Bce(operation) => check_bce::<F>(input, operation),
        Call::Map(function) => check_slice::<F>(input, function),
        Call::Probability(function) => check_probability::<F>(input, function),
    }
}

fuzz_target!(|input: Input| {
    if input.double {
        check::<f64>(&input);
    } else {
        check::<f32>(&input);
    }
});
