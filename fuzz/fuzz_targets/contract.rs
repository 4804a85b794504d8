//! Errors exactly where the contract says, with what they name; inputs unchanged; outputs fully
//! written, untouched or all NaN.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use soft_bce::{Backend, Bce, Error, LossSum};
use soft_bce_fuzz::{
    Arrays, Elements, Function, Number, Operation, Placed, Real, bits, function, operation,
};

#[derive(Arbitrary, Debug)]
struct Input {
    double: bool,
    call: Call,
    backend: u8,
    weighted: bool,
    exact: bool,
    pos_weight: Option<Number>,
    label_smoothing: Option<Number>,
    /// Any numbers, in any place: some are no targets or weights.
    targets: Vec<(u16, Number)>,
    weights: Vec<(u16, Number)>,
    /// How much shorter or longer than the logits: targets, weights, three outputs.
    longer: [i8; 5],
    elements: Elements,
}

impl Input {
    fn excess(&self) -> bool {
        self.backend & 32 != 0
    }
}

#[derive(Arbitrary, Debug)]
enum Call {
    Bce(#[arbitrary(with = operation)] Operation),
    Map(#[arbitrary(with = function)] Function),
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
    input: &Input,
    operation: Operation,
    lengths: &[(&'static str, usize)],
    t: &[F],
    w: Option<&[F]>,
    options: [F; 2],
) -> Vec<Error> {
    let expected = lengths[0].1;
    let [pos_weight, label_smoothing] = options.map(|value| value.to_f64());
    let mut faults: Vec<Error> = lengths
        .iter()
        .filter(|&&(_, found)| found != expected)
        .map(|&(argument, found)| Error::LengthMismatch {
            argument,
            expected,
            found,
        })
        .collect();
    if !faults.is_empty() {
        return faults;
    }
    let mut invalid = |option, value| {
        faults.push(Error::InvalidOption {
            option,
            value,
            range: "",
        });
    };
    if !(pos_weight > 0.0 && pos_weight < f64::INFINITY) {
        invalid("pos_weight", pos_weight);
    }
    if !is_target(options[1]) {
        invalid("label_smoothing", label_smoothing);
    }
    let reshaped = pos_weight != 1.0 || label_smoothing != 0.0;
    let exact = input.exact && F::exact(Bce::new()).is_some();
    if exact && (reshaped || w.is_some()) || input.excess() && (reshaped || exact) {
        faults.push(Error::UnsupportedOptions { reason: "" });
    }
    if !faults.is_empty() {
        return faults;
    }
    let weight = |i: usize| w.map_or(1.0, |w| w[i].to_f64());
    if operation.is_mean() && (0..expected).all(|i| weight(i) == 0.0) {
        return vec![Error::Empty];
    }
    let first = (0..expected).find_map(|index| {
        let (value, weight) = (t[index].to_f64(), weight(index));
        if !is_target(t[index]) && weight != 0.0 {
            Some(Error::TargetOutOfRange { index, value })
        } else if !(0.0..f64::INFINITY).contains(&weight) {
            let value = weight;
            Some(Error::InvalidWeight { index, value })
        } else {
            None
        }
    });
    first.into_iter().collect()
}

fn check_bce<F: Real>(input: &Input, operation: Operation) {
    let Arrays { z, t, w } = input.elements.arrays::<F>();
    let count = z.get().len();
    let t = resized(&with(t.get(), &input.targets), input.longer[0]);
    let w = resized(&with(w.get(), &input.weights), input.longer[1]);
    let in_place = operation == Operation::GradientInPlace;

    let option = |number: Option<Number>, default| {
        number.map_or(F::from_f64(default), |number| number.value())
    };
    let options = [
        option(input.pos_weight, 1.0),
        option(input.label_smoothing, 0.0),
    ];
    let mut bce = Bce::new()
        .pos_weight(options[0])
        .label_smoothing(options[1]);
    if input.weighted {
        bce = bce.weights(&w);
    }
    if input.exact {
        bce = F::exact(bce).unwrap_or(bce);
    }
    if input.excess() {
        bce = bce.excess();
    }
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
    lengths.extend(input.weighted.then_some(("weights", w.len())));
    if !in_place {
        let names = operation.output_names().iter().copied();
        lengths.extend(names.zip(output_lengths));
    }
    let weights = input.weighted.then_some(&w[..]);
    let faults = faults(input, operation, &lengths, &t, weights, options);

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
                let counts = !input.weighted || w[i].to_f64() != 0.0;
                let expected = z.get()[i].to_f64().is_nan() && counts;
                assert_eq!(value.to_f64().is_nan(), expected, "element {i}");
                // The limits are for the inputs to say.
                let (z, t) = (z.get()[i].to_f64(), t[i].to_f64());
                if *name == "loss" && z.is_infinite() && counts {
                    let hard = t == if z > 0.0 { 1.0 } else { 0.0 };
                    let zero = hard && options[1].to_f64() == 0.0;
                    let limit = if zero { 0.0 } else { f64::INFINITY };
                    assert_eq!(value.to_f64(), limit, "element {i}");
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
    }
}

fuzz_target!(|input: Input| {
    if input.double {
        check::<f64>(&input);
    } else {
        check::<f32>(&input);
    }
});
