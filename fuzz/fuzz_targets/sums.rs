//! `LossSum` against MPFR numbers long enough to be exact; every partition, order and merge tree
//! gives the same bytes; bytes are accepted only if they are what `to_bytes` writes.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rug::Float;
use soft_bce::{Backend, Bce, LossSum};
use soft_bce_fuzz::{Arrays, Elements, Number, Operation, Real, bits_of, exact_sum};
use soft_bce_oracle::format::Format as _;

#[derive(Arbitrary, Debug)]
struct Input {
    task: Task,
    tree: Vec<(u8, u8)>,
}

#[derive(Arbitrary, Debug)]
enum Task {
    /// Values, each with the part it goes to.
    Values(Vec<(Number, u8)>),
    /// Losses, cut into parts of these lengths, each on a backend.
    Losses {
        double: bool,
        cuts: Vec<(u8, u8)>,
        elements: Elements,
    },
    Bytes(Vec<u8>),
    /// A value doubled by merges, up to and beyond the range.
    Doubled {
        value: Number,
        doublings: u8,
    },
    /// What `to_bytes` writes, damaged; then values added.
    Damaged {
        values: Vec<Number>,
        damage: Vec<(u16, u8)>,
        more: Vec<Number>,
    },
}

/// Merges all parts into one, two at a time, as the tree says and then from the back.
fn merged(mut parts: Vec<LossSum>, tree: &[(u8, u8)]) -> LossSum {
    for &(from, to) in tree {
        if parts.len() > 1 {
            let taken = parts.swap_remove(usize::from(from) % parts.len());
            let to = usize::from(to) % parts.len();
            parts[to].merge(&taken);
        }
    }
    let mut all = parts.pop().unwrap_or_default();
    while let Some(part) = parts.pop() {
        all.merge(&part);
    }
    all
}

/// Bits from 2^-1074 to beyond 2^1024 times any number of values.
const EXACT: u32 = 2200;

fn rounded_sum(values: &[f64]) -> f64 {
    let has = |value: f64| values.contains(&value);
    match (has(f64::INFINITY), has(f64::NEG_INFINITY)) {
        _ if values.iter().any(|value| value.is_nan()) => return f64::NAN,
        (true, true) => return f64::NAN,
        (true, false) => return f64::INFINITY,
        (false, true) => return f64::NEG_INFINITY,
        (false, false) => {}
    }
    let mut sum = Float::new(EXACT);
    for value in values {
        sum += *value;
    }
    // A sum of zeros is +0 whatever their signs.
    f64::from_float(&sum) + 0.0
}

fn check_values(values: &[(Number, u8)], tree: &[(u8, u8)]) {
    let numbers: Vec<f64> = values.iter().map(|(number, _)| number.value()).collect();
    let whole = exact_sum(numbers.iter().copied());
    assert_eq!(whole.count(), numbers.len() as u64);
    assert_eq!(bits_of(whole.to_f64()), bits_of(rounded_sum(&numbers)));

    let mut at_once = LossSum::new();
    at_once.add_slice(&numbers);
    assert_eq!(at_once.to_bytes(), whole.to_bytes());

    let backwards = exact_sum(numbers.iter().rev().copied());
    assert_eq!(backwards.to_bytes(), whole.to_bytes());
    let mut parts = vec![LossSum::new(); 1 + values.len() / 2];
    for (&number, (_, part)) in numbers.iter().zip(values) {
        let part = usize::from(*part) % parts.len();
        parts[part].add(number);
    }
    assert_eq!(merged(parts, tree).to_bytes(), whole.to_bytes());
    assert_eq!(LossSum::from_bytes(&whole.to_bytes()), Ok(whole));
}

fn check_losses<F: Real>(cuts: &[(u8, u8)], elements: &Elements, tree: &[(u8, u8)]) {
    let Arrays { z, t, w } = elements.arrays::<F>();
    let (z, t, w) = (z.get(), t.get(), w.get());
    let mut losses = vec![F::from_f64(7.0); z.len()];
    let whole = Bce::new().weights(w);
    let mut none = LossSum::new();
    F::run(
        Operation::Loss,
        &whole,
        z,
        t,
        [&mut losses, &mut [], &mut []],
        &mut none,
    )
    .unwrap();
    let expected = exact_sum(losses.iter().map(|loss| loss.to_f64()));

    let backends: Vec<Backend> = Backend::available().collect();
    let mut parts = Vec::new();
    let mut start = 0;
    for &(length, backend) in cuts.iter().chain(&[(0, 0)]) {
        let last = parts.len() == cuts.len();
        let end = if last {
            z.len()
        } else {
            z.len().min(start + usize::from(length))
        };
        let mut part = LossSum::new();
        let bce = Bce::new()
            .weights(&w[start..end])
            .backend(backends[usize::from(backend) % backends.len()])
            .unwrap();
        let (z, t) = (&z[start..end], &t[start..end]);
        F::run(
            Operation::Accumulate,
            &bce,
            z,
            t,
            [&mut [], &mut [], &mut []],
            &mut part,
        )
        .unwrap();
        parts.push(part);
        start = end;
    }
    assert_eq!(merged(parts, tree).to_bytes(), expected.to_bytes());
    let sum = F::run(
        Operation::Sum,
        &whole,
        z,
        t,
        [&mut [], &mut [], &mut []],
        &mut none,
    )
    .unwrap();
    assert_eq!(bits_of(sum), bits_of(expected.to_f64()));
}

/// From 2^1101 on a sum is infinite; of -2^1101, the least there is, either is right.
fn check_doubled(value: f64, doublings: u8) {
    let mut sum = LossSum::new();
    sum.add(value);
    for _ in 0..doublings {
        sum.merge(&sum.clone());
    }
    let mut exact = Float::with_val(EXACT, value);
    exact <<= u32::from(doublings);
    let limit = Float::with_val(EXACT, Float::u_exp(1, 1101));
    let beyond = exact.cmp_abs(&limit).is_some_and(|order| order.is_ge()) && exact != -limit;
    let expected = if value.is_nan() {
        value
    } else {
        // Beyond 2^1024 either way; but a state that wrapped is not.
        f64::from_float(&exact) + 0.0
    };
    assert_eq!(bits_of(sum.to_f64()), bits_of(expected));
    // What is infinite stays so, whatever is taken away.
    if beyond {
        sum.add(-value);
        assert!(!sum.to_f64().is_finite());
        assert!(sum.to_bytes()[16..].iter().all(|&byte| byte == 0));
    }
    sum.add(1.0);
    assert_eq!(LossSum::from_bytes(&sum.to_bytes()), Ok(sum));
}

fn check_bytes(bytes: &[u8]) -> Option<LossSum> {
    let read = LossSum::from_bytes(bytes).ok()?;
    assert_eq!(read.to_bytes(), bytes);
    Some(read)
}

fuzz_target!(|input: Input| {
    match &input.task {
        Task::Values(values) => check_values(values, &input.tree),
        Task::Losses {
            double,
            cuts,
            elements,
        } => {
            if *double {
                check_losses::<f64>(cuts, elements, &input.tree);
            } else {
                check_losses::<f32>(cuts, elements, &input.tree);
            }
        }
        Task::Doubled { value, doublings } => check_doubled(value.value(), doublings % 100),
        Task::Bytes(bytes) => {
            check_bytes(bytes);
        }
        Task::Damaged {
            values,
            damage,
            more,
        } => {
            let mut bytes = exact_sum(values.iter().map(|number| number.value())).to_bytes();
            for &(at, flip) in damage {
                bytes[usize::from(at) % LossSum::BYTES] ^= flip;
            }
            // A well-formed state is a state: it can be added to, and written, and read.
            if let Some(mut sum) = check_bytes(&bytes) {
                more.iter().for_each(|number| sum.add(number.value()));
                assert_eq!(LossSum::from_bytes(&sum.to_bytes()), Ok(sum));
            }
        }
    }
});
