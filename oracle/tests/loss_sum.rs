//! `LossSum` against exact integers: what it rounds to, and which counts `from_bytes` accepts.

#[path = "../../tests/values/mod.rs"]
mod values;

use proptest::prelude::*;
use rug::Integer;
use soft_bce::{Error, LossSum};
use values::finite;

fn sum_of(values: &[f64]) -> LossSum {
    let mut sum = LossSum::new();
    values.iter().for_each(|&value| sum.add(value));
    sum
}

/// The pattern of a magnitude, as the multiple of 2^-1074 it stands for;
/// infinity's pattern stands for 2^1024, where rounding to it begins to count.
fn units(magnitude_bits: u64) -> Integer {
    let (exponent, fraction) = (magnitude_bits >> 52, magnitude_bits & ((1 << 52) - 1));
    match exponent {
        0 => Integer::from(fraction),
        _ => Integer::from(fraction | (1 << 52)) << (exponent as u32 - 1),
    }
}

/// The nearest `f64` by definition: bisection over all patterns between which
/// the exact sum of the finite `values` lies, then the nearer, then the even one.
fn reference(values: &[f64]) -> f64 {
    const INFINITY_BITS: u64 = 0x7ff << 52;
    let exact = exact_units(values);
    let negative = exact < 0;
    let magnitude = exact.abs();
    let (mut low, mut high) = (0, INFINITY_BITS);
    if magnitude >= units(high) {
        low = high;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if units(middle) <= magnitude {
            low = middle;
        } else {
            high = middle;
        }
    }
    let (to_low, to_high) = (magnitude.clone() - units(low), units(high) - magnitude);
    let nearest = match to_low.cmp(&to_high) {
        std::cmp::Ordering::Less => low,
        std::cmp::Ordering::Greater => high,
        std::cmp::Ordering::Equal => low + (low & 1),
    };
    let rounded = f64::from_bits(nearest);
    if negative { -rounded } else { rounded }
}

/// The least number of values with this sum: the nearest one, and again for what is left.
fn least_count(mut sum: Integer) -> u64 {
    let greatest = units(f64::MAX.to_bits());
    let mut count = 0;
    while sum != 0 {
        let digits = sum.significant_bits();
        let nearest = if digits <= 53 {
            sum.clone()
        } else {
            let unit = digits - 53;
            let half = Integer::from(1) << (unit - 1);
            (((sum.clone() + half) >> unit) << unit).min(greatest.clone())
        };
        sum = (sum - nearest).abs();
        count += 1;
    }
    count
}

fn exact_units(values: &[f64]) -> Integer {
    values
        .iter()
        .map(|value| {
            let magnitude = units(value.abs().to_bits());
            if value.is_sign_negative() {
                -magnitude
            } else {
                magnitude
            }
        })
        .sum()
}

/// Values whose leading parts cancel, so that what is left is the small ones.
fn cancelling() -> impl Strategy<Value = Vec<f64>> {
    (
        prop::collection::vec(finite(), 0..40),
        prop::collection::vec(finite(), 0..3),
    )
        .prop_map(|(pairs, rest)| {
            let negated: Vec<f64> = pairs.iter().rev().map(|x| -x).collect();
            [pairs, rest, negated].concat()
        })
}

/// A sum next to the midpoint of two neighbours: `bits` + half a unit ± a crumb.
fn near_tie() -> impl Strategy<Value = Vec<f64>> {
    (
        54..2046u64,
        0..1u64 << 52,
        any::<bool>(),
        prop::option::of((any::<bool>(), 0..2046u64)),
    )
        .prop_map(|(exponent, fraction, negative, crumb)| {
            let value = f64::from_bits((exponent << 52) | fraction);
            let half = f64::from_bits((exponent - 53) << 52);
            let mut values = vec![value, half];
            if let Some((below, at)) = crumb {
                let tiny = f64::from_bits(((at % (exponent - 53)) << 52) | 1);
                values.push(if below { -tiny } else { tiny });
            }
            values
                .iter()
                .map(|x| if negative { -x } else { *x })
                .collect()
        })
}

fn with_count(sum: &LossSum, count: u64) -> Result<LossSum, Error> {
    let mut bytes = sum.to_bytes();
    bytes[8..16].copy_from_slice(&count.to_le_bytes());
    LossSum::from_bytes(&bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn to_f64_is_the_correctly_rounded_sum(
        values in prop_oneof![
            prop::collection::vec(finite(), 0..80),
            cancelling(),
            near_tie(),
            prop::collection::vec((0..1u64 << 54).prop_map(f64::from_bits), 0..80),
        ]
    ) {
        prop_assert_eq!(sum_of(&values).to_f64().to_bits(), reference(&values).to_bits());
    }

    /// The count that `from_bytes` wants at least is the one that the digits of the sum need.
    #[test]
    fn from_bytes_refuses_what_no_count_values_sum_to(
        values in prop_oneof![
            prop::collection::vec(finite(), 0..60),
            cancelling(),
            prop::collection::vec(any::<u64>().prop_map(|bits| f64::from_bits(bits & !(1 << 62))), 0..60),
            (0..6usize).prop_flat_map(|greatest| {
                let rest = prop::collection::vec((0..1u64 << 52, 1970..2047u64), 0..4);
                rest.prop_map(move |rest| {
                    let rest = rest.iter().map(|(fraction, e)| f64::from_bits((e << 52) | fraction));
                    rest.chain(vec![f64::MAX; greatest]).collect()
                })
            }),
        ]
    ) {
        let sum = sum_of(&values);
        let sum = if values.iter().all(|value| value.is_finite()) { sum } else { LossSum::new() };
        let exact = if sum.count() == 0 { Integer::new() } else { exact_units(&values) };
        let least = least_count(exact.abs());
        prop_assert!(with_count(&sum, least).is_ok());
        if least > 0 {
            prop_assert_eq!(with_count(&sum, least - 1), Err(Error::MalformedLossSum));
        }
        prop_assert!(with_count(&sum, u64::MAX).is_ok());
    }
}
