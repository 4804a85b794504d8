//! `LossSum` where its value is known, and against itself in every partition. Against exact integers:
//! `oracle/tests/loss_sum.rs`.

mod values;

use proptest::prelude::*;
use soft_bce::{Error, LossSum};
use values::finite;

fn sum_of(values: &[f64]) -> LossSum {
    let mut sum = LossSum::new();
    values.iter().for_each(|&value| sum.add(value));
    sum
}

fn with_count(sum: &LossSum, count: u64) -> Result<LossSum, Error> {
    let mut bytes = sum.to_bytes();
    bytes[8..16].copy_from_slice(&count.to_le_bytes());
    LossSum::from_bytes(&bytes)
}

fn assert_sum(values: &[f64], expected: f64) {
    let sum = sum_of(values);
    assert_eq!(
        sum.to_f64().to_bits(),
        expected.to_bits(),
        "{values:?}: {sum:?}"
    );
    assert_eq!(sum.count(), values.len() as u64);
    let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
    let mirror = if expected == 0.0 { 0.0 } else { -expected };
    assert_eq!(
        sum_of(&mirrored).to_f64().to_bits(),
        mirror.to_bits(),
        "-{values:?}"
    );
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        200 => finite(),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_order_partition_and_merge_tree_gives_equal_bytes(
        (values, shuffled) in prop::collection::vec(any_value(), 1..120)
            .prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle())),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        merges in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 9),
    ) {
        let whole = sum_of(&values);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(shuffled.len())).collect();
        cuts.extend([0, shuffled.len()]);
        cuts.sort_unstable();
        let mut parts: Vec<LossSum> =
            cuts.windows(2).map(|ends| sum_of(&shuffled[ends[0]..ends[1]])).collect();
        for (into, from) in merges {
            if parts.len() > 1 {
                let part = parts.swap_remove(from.index(parts.len()));
                let into = into.index(parts.len());
                parts[into].merge(&part);
            }
        }
        prop_assert_eq!(parts.len(), 1);
        prop_assert_eq!(&parts[0], &whole);
        prop_assert_eq!(parts[0].to_bytes(), whole.to_bytes());
    }

    #[test]
    fn bytes_round_trip(values in prop::collection::vec(any_value(), 0..60)) {
        let sum = sum_of(&values);
        let restored = LossSum::from_bytes(&sum.to_bytes());
        prop_assert_eq!(restored.as_ref(), Ok(&sum));
        prop_assert_eq!(restored.map(|sum| sum.to_f64().to_bits()), Ok(sum.to_f64().to_bits()));
    }

    /// All at once or one by one, in either type.
    #[test]
    fn add_slice_adds_each(
        mut values in prop::collection::vec(any_value(), 0..40),
        repeat in 1..40usize,
        finite in any::<bool>(),
        same_sign in any::<bool>(),
    ) {
        if finite {
            values.retain(|value| value.is_finite());
        }
        if same_sign {
            values.iter_mut().for_each(|value| *value = value.abs());
        }
        let values = values.repeat(repeat);
        let mut sum = sum_of(&[-3.5]);
        sum.add_slice(&values);
        let mut expected = sum_of(&[-3.5]);
        values.iter().for_each(|&value| expected.add(value));
        prop_assert_eq!(sum.to_bytes(), expected.to_bytes());

        let single: Vec<f32> = values
            .iter()
            .flat_map(|&value| [value as f32, f32::from_bits((value.to_bits() >> 20) as u32)])
            .filter(|value| value.is_finite() || !finite)
            .collect();
        let (mut sum, mut expected) = (LossSum::new(), LossSum::new());
        sum.add_slice(&single);
        single.iter().for_each(|&value| expected.add(f64::from(value)));
        prop_assert_eq!(sum.to_bytes(), expected.to_bytes());
    }

    /// Whatever is accepted is canonical, and whatever was refused was not written by `to_bytes`.
    #[test]
    fn from_bytes_accepts_only_what_to_bytes_writes(
        values in prop::collection::vec(any_value(), 0..4),
        damage in prop::collection::vec((0..LossSum::BYTES, any::<u8>()), 0..4),
        length in prop_oneof![9 => Just(LossSum::BYTES), 1 => 0..2 * LossSum::BYTES],
    ) {
        let mut bytes = sum_of(&values).to_bytes().to_vec();
        for &(at, byte) in &damage {
            bytes[at] = byte;
        }
        bytes.resize(length, 0);
        if let Ok(sum) = LossSum::from_bytes(&bytes) {
            prop_assert_eq!(&sum.to_bytes()[..], &bytes[..]);
        }
    }
}

#[test]
fn hard_cases_are_rounded_once() {
    let ulp = f64::EPSILON;
    let least = 5e-324;
    assert_sum(&[], 0.0);
    assert_sum(&[-0.0], 0.0);
    assert_sum(&[1.0, -1.0], 0.0);
    assert_sum(&[least], least);
    assert_sum(&[least; 3], 1.5e-323);
    assert_sum(&[least, -least, -least], -least);
    // The largest subnormal, the smallest normal number and across.
    assert_sum(&[f64::MIN_POSITIVE, -least], f64::from_bits((1 << 52) - 1));
    assert_sum(&[f64::from_bits((1 << 52) - 1), least], f64::MIN_POSITIVE);
    assert_sum(
        &[f64::from_bits((1 << 53) - 1), least],
        2.0 * f64::MIN_POSITIVE,
    );
    // The first binade that rounds: 2^-1021 + 1 and 3 units are ties.
    let first = 2.0 * f64::MIN_POSITIVE;
    assert_sum(&[first, least], first);
    assert_sum(
        &[first, least, least, least],
        f64::from_bits(first.to_bits() + 2),
    );
    // Ties to even, broken by the least unit.
    assert_sum(&[1.0, ulp / 2.0], 1.0);
    assert_sum(&[1.0, ulp / 2.0, least], 1.0 + ulp);
    assert_sum(&[1.0, ulp / 2.0, -least], 1.0);
    assert_sum(&[1.0 + ulp, ulp / 2.0], 1.0 + 2.0 * ulp);
    assert_sum(&[1.0 + ulp, ulp / 2.0, -least], 1.0 + ulp);
    assert_sum(&[2.0, -ulp / 2.0], 2.0);
    assert_sum(&[2.0, -ulp / 2.0, -least], 2.0 - ulp);
    // Cancellation down to what every rounded sum has lost.
    assert_sum(&[1e300, 1.0, 1e-300, -1e300, -1.0], 1e-300);
    assert_sum(&[f64::MAX, least, -f64::MAX], least);
    assert_sum(&[least, -f64::MAX, f64::MAX, -1.0], -1.0);
    // Overflow belongs to the value, not to the state.
    let half_ulp_of_max = 2f64.powi(970);
    assert_sum(&[f64::MAX, f64::MAX], f64::INFINITY);
    assert_sum(
        &[f64::MAX, f64::MAX, f64::MAX, -f64::MAX, -f64::MAX],
        f64::MAX,
    );
    assert_sum(&[f64::MAX, half_ulp_of_max], f64::INFINITY);
    assert_sum(&[f64::MAX, half_ulp_of_max, -least], f64::MAX);
    assert_sum(&[f64::MAX, half_ulp_of_max / 2.0], f64::MAX);
}

/// Spans of which nearly all lies just below half the unit of a cut, and one value's last place far below: the
/// sums of what cuts leave have as many bits as can be, on both sides of where they would round.
#[test]
fn sums_of_what_cuts_leave_are_exact() {
    let power = |exponent: i32| 2_f64.powi(exponent);
    let adds_each = |values: &[f64]| {
        let (mut sum, mut expected) = (LossSum::new(), sum_of(values));
        sum.add_slice(values);
        assert_eq!(sum.to_bytes(), expected.to_bytes(), "{:?}", &values[..3]);
        // As `f32`, where they are: an inexact one would be another value.
        let single: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        (sum, expected) = (LossSum::new(), LossSum::new());
        sum.add_slice(&single);
        for &value in &single {
            expected.add(f64::from(value));
        }
        assert_eq!(sum.to_bytes(), expected.to_bytes(), "{:?}", &values[..3]);
    };
    for top in [1, 27, 28, 29, 115, 116, 117] {
        for cut in (1..9).flat_map(|cut| [44 * cut, 45 * cut]) {
            for below in cut - 1..=cut + 2 {
                for last in below + 30..below + 60 {
                    for (precision, length) in [(24, 512), (53, 256)] {
                        let most = power(top - below) - power(top - below - precision);
                        let mut values = vec![most; length];
                        values[0] = power(top - 1);
                        values[1] = power(top - last) * (power(precision - 1) + 1.0);
                        adds_each(&values);
                    }
                }
            }
        }
    }
}

/// A crumb that decides a tie may lie in any bit of any limb below.
#[test]
fn ties_are_broken_at_every_alignment_and_distance() {
    let power = |exponent: u64| f64::from_bits(exponent << 52);
    for exponent in 1000..1064 {
        let (even, odd) = (power(exponent), power(exponent).next_up());
        let half = power(exponent - 53);
        assert_sum(&[even, half], even);
        assert_sum(&[odd, half], odd.next_up());
        for distance in 1..200 {
            let crumb = power(exponent - 53 - distance);
            assert_sum(&[even, half, crumb], odd);
            assert_sum(&[odd, half, -crumb], odd);
        }
    }
}

#[test]
fn alternating_signs_carry_and_borrow_through_all_limbs() {
    for exponent in 0..2047u64 {
        let value = f64::from_bits((exponent << 52) | 1);
        let mut sum = LossSum::new();
        for _ in 0..5 {
            sum.add(-value);
            assert_eq!(sum.to_f64(), -value);
            sum.add(value);
            assert_eq!(sum.to_f64(), 0.0);
            sum.add(value);
            sum.add(-value);
        }
        assert_eq!(sum.to_f64().to_bits(), 0);
        let mut zeros = LossSum::new();
        (0..20).for_each(|_| zeros.add(-0.0));
        assert_eq!(sum, zeros);
    }
}

#[test]
fn every_binade_is_exact() {
    for exponent in 0..2047u64 {
        for value in [
            exponent << 52,
            (exponent << 52) | 1,
            (exponent << 52) | ((1 << 52) - 1),
        ] {
            let value = f64::from_bits(value);
            assert_sum(&[value], value);
        }
    }
}

#[test]
fn non_finite_values_absorb_the_rest() {
    const INF: f64 = f64::INFINITY;
    for (values, expected) in [
        (&[INF, 1.0][..], INF),
        (&[1.0, -INF, -2.0], -INF),
        (&[INF, INF], INF),
        (&[f64::MAX, f64::MAX, -INF], -INF),
    ] {
        assert_eq!(sum_of(values).to_f64(), expected);
    }
    for values in [
        &[INF, -INF][..],
        &[-INF, 1.0, INF],
        &[f64::NAN],
        &[1.0, -f64::NAN, INF],
    ] {
        assert!(sum_of(values).to_f64().is_nan(), "{values:?}");
    }
    // The state keeps the outcome and the count alone, so that no order or block can show.
    assert_eq!(sum_of(&[INF, -INF, 3.0]), sum_of(&[f64::NAN, 1.0, 2.0]));
    assert_eq!(sum_of(&[7.0, INF]), sum_of(&[INF, -1.0]));
    let mut merged = sum_of(&[1.0, INF]);
    merged.merge(&sum_of(&[2.0]));
    merged.merge(&sum_of(&[-INF]));
    assert_eq!(merged, sum_of(&[f64::NAN; 4]));
    let mut finite = sum_of(&[2.0]);
    finite.merge(&sum_of(&[1.0, INF]));
    assert_eq!(finite, sum_of(&[INF; 3]));
    assert_eq!(finite.count(), 3);
}

/// Doubling by merges reaches the 2^64 values that no loop can.
#[test]
fn the_greatest_values_do_not_overflow_before_2_77_of_them_and_the_count_stops() {
    let mut high = sum_of(&[f64::MAX]);
    let mut low = sum_of(&[-f64::MAX]);
    for doublings in 1..=76u32 {
        high.merge(&high.clone());
        low.merge(&low.clone());
        let expected = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        assert_eq!((high.count(), low.count()), (expected, expected));
        assert_eq!(
            (high.to_f64(), low.to_f64()),
            (f64::INFINITY, f64::NEG_INFINITY)
        );
        assert_eq!(LossSum::from_bytes(&high.to_bytes()), Ok(high.clone()));
        assert_eq!(LossSum::from_bytes(&low.to_bytes()), Ok(low.clone()));
        let mut both = high.clone();
        both.merge(&low);
        both.add(1.0);
        assert_eq!(both.to_f64(), 1.0);
    }
    assert_eq!(high.count(), u64::MAX);
    // 2^77 fit; the next doubling is infinite, and stays so.
    high.merge(&high.clone());
    low.merge(&low.clone());
    for (sum, infinity) in [(high, f64::INFINITY), (low, f64::NEG_INFINITY)] {
        let mut once_more = sum.clone();
        once_more.merge(&sum);
        assert_ne!(sum, once_more);
        once_more.add(-infinity.signum() * f64::MAX);
        once_more.merge(&sum_of(&[1.0]));
        assert_eq!(
            (once_more.to_f64(), once_more.count()),
            (infinity, u64::MAX)
        );
        assert_eq!(
            LossSum::from_bytes(&once_more.to_bytes()),
            Ok(once_more.clone())
        );
        // The outcome and the count alone.
        assert!(once_more.to_bytes()[16..].iter().all(|&byte| byte == 0));
    }
}

/// The largest and the smallest state, one unit from the limit, from either side.
#[test]
fn a_sum_beyond_the_range_is_infinite_and_never_wraps() {
    let state = |top: u8, below: u8, last: u8| {
        let mut bytes = sum_of(&[0.0]).to_bytes();
        bytes[8..16].fill(0xff);
        bytes[16..].fill(below);
        (bytes[16], bytes[287]) = (last, top);
        LossSum::from_bytes(&bytes).unwrap()
    };
    let (least, greatest) = (5e-324, f64::MAX);
    for (edge, inwards, infinity) in [
        (state(0x7f, 0xff, 0xff), -1.0, f64::INFINITY),
        (state(0x80, 0, 0), 1.0, f64::NEG_INFINITY),
    ] {
        for value in [least, 1.0, greatest] {
            let mut sum = edge.clone();
            sum.add(-inwards * value);
            assert_eq!(sum.to_f64(), infinity);
            let mut merged = edge.clone();
            merged.merge(&sum_of(&[-inwards * value]));
            assert_eq!((merged.to_f64(), merged.count()), (infinity, u64::MAX));
            assert_eq!(merged.to_bytes(), sum.to_bytes());
            // And back it is a state like any other.
            let mut back = edge.clone();
            back.add(inwards * value);
            back.add(-inwards * value);
            assert_eq!(back, edge);
        }
        // The other edge is not beyond.
        let mut sum = edge.clone();
        sum.add(inwards * least);
        assert_eq!(LossSum::from_bytes(&sum.to_bytes()), Ok(sum));
    }
}

#[test]
fn the_format_is_fixed() {
    let mut expected = [0; LossSum::BYTES];
    assert_eq!(LossSum::BYTES, 288);
    expected[..6].copy_from_slice(b"SBCE\x01\0");
    expected[8] = 2;
    // -3 units: all ones but the lowest limb's -3.
    expected[16..].fill(0xff);
    expected[16] = 0xfd;
    assert_eq!(sum_of(&[-5e-324, -1e-323]).to_bytes(), expected);
    expected[16..].fill(0);
    (expected[6], expected[7], expected[8]) = (3, 3, 1);
    assert_eq!(sum_of(&[f64::NAN]).to_bytes(), expected);
}

#[test]
fn every_damaged_header_and_every_other_length_is_rejected() {
    for values in [
        &[][..],
        &[0.0],
        &[1.0, 2.5],
        &[-1e308],
        &[f64::NAN],
        &[f64::INFINITY],
    ] {
        let good = sum_of(values).to_bytes();
        for at in 0..8 {
            for byte in (0..=255).filter(|&byte| byte != good[at]) {
                let mut bad = good;
                bad[at] = byte;
                assert_eq!(
                    LossSum::from_bytes(&bad),
                    Err(Error::MalformedLossSum),
                    "{at}: {byte}"
                );
            }
        }
        let long = [&good[..], &good[..]].concat();
        for length in (0..long.len()).filter(|&length| length != good.len()) {
            assert_eq!(
                LossSum::from_bytes(&long[..length]),
                Err(Error::MalformedLossSum)
            );
        }
    }
}

#[test]
fn impossible_states_are_rejected() {
    let edited = |values: &[f64], edit: fn(&mut [u8; LossSum::BYTES])| {
        let mut bytes = sum_of(values).to_bytes();
        edit(&mut bytes);
        LossSum::from_bytes(&bytes)
    };
    let malformed = Err(Error::MalformedLossSum);
    // A value without a count; a state byte of both kinds that no sum has.
    assert_eq!(edited(&[1.0], |bytes| bytes[8] = 0), malformed);
    assert_eq!(edited(&[5e-324], |bytes| bytes[8] = 0), malformed);
    assert_eq!(edited(&[f64::NAN], |bytes| bytes[8] = 0), malformed);
    assert_eq!(edited(&[0.0], |bytes| bytes[6..8].fill(4)), malformed);
    // Limbs in a sum that is not finite.
    assert_eq!(edited(&[1.0], |bytes| bytes[6..8].fill(1)), malformed);
    assert_eq!(edited(&[f64::INFINITY], |bytes| bytes[287] = 1), malformed);
    // More than the count can have summed, on both sides, to the unit.
    assert_eq!(edited(&[f64::MAX; 3], |bytes| bytes[8] = 2), malformed);
    assert_eq!(edited(&[-f64::MAX; 3], |bytes| bytes[8] = 2), malformed);
    assert!(edited(&[f64::MAX; 3], |_| {}).is_ok());
    assert!(edited(&[-f64::MAX; 3], |_| {}).is_ok());
    assert_eq!(edited(&[f64::MAX; 3], |bytes| bytes[16] = 1), malformed);
    // More digits than the count can have, far from too large.
    assert_eq!(edited(&[1.0, 1e-300], |bytes| bytes[8] = 1), malformed);
    assert_eq!(
        edited(&[-1.0, 2f64.powi(-53)], |bytes| bytes[8] = 1),
        Ok(sum_of(&[2f64.powi(-53) - 1.0]))
    );
    assert_eq!(
        edited(&[-1.0, 2f64.powi(-54)], |bytes| bytes[8] = 1),
        malformed
    );
    assert_eq!(edited(&[0.0], |bytes| bytes[287] = 0x80), malformed);
    assert!(edited(&[0.0], |bytes| bytes[8..16].fill(0xff)).is_ok());
}

/// The greatest sums of a count whose last digit is below that of `f64::MAX`.
#[test]
fn the_greatest_sum_with_a_digit_below_is_accepted_and_no_greater_one() {
    for below in 1..54 {
        let greatest = f64::from_bits(f64::MAX.to_bits() - (below << 52));
        for others in 0..4 {
            let mut values = vec![f64::MAX; others];
            values.push(greatest);
            let mut sum = sum_of(&values);
            let count = values.len() as u64;
            assert_eq!(with_count(&sum, count), Ok(sum.clone()));
            sum.add(2f64.powi(971));
            let greater = with_count(&sum, count);
            assert_eq!(greater, Err(Error::MalformedLossSum), "{below} {others}");
            assert!(with_count(&sum, count + 1).is_ok());
        }
    }
}

#[test]
fn debug_shows_the_sum_and_the_count() {
    assert_eq!(
        format!("{:?}", sum_of(&[0.5, 1.0])),
        "LossSum { sum: 1.5, count: 2, .. }"
    );
    assert_eq!(LossSum::default(), LossSum::new());
}

/// Logits and targets as the walk over blocks meets them, over several blocks.
macro_rules! accumulate_tests {
    ($module:ident, $real:ident, $deep:expr) => {
        mod $module {
            use proptest::prelude::*;
            use soft_bce::{Backend, Bce, LossSum};

            /// Data of one range of magnitudes, so that whole blocks are easy, hard or neither.
            fn logits() -> impl Strategy<Value = Vec<$real>> {
                let all = prop_oneof![
                    60 => -10.0..10.0 as $real,
                    20 => -800.0..800.0 as $real,
                    20 => any::<$real>().prop_filter("finite", |z| z.is_finite()),
                    5 => prop::sample::select(vec![0.0, -0.0, $real::MAX, $real::MIN]),
                ];
                prop_oneof![
                    prop::collection::vec(-3.0..3.0 as $real, 0..1500),
                    prop::collection::vec(-30.0..30.0 as $real, 0..1500),
                    prop::collection::vec(-800.0..800.0 as $real, 0..1500),
                    prop::collection::vec(all, 0..1500),
                ]
            }

            fn target() -> impl Strategy<Value = $real> {
                prop_oneof![
                    2 => 0.0..=1.0 as $real,
                    1 => prop::sample::select(vec![0.0, 1.0]),
                    1 => (0..200i32).prop_map(|e| (2.0 as $real).powi(-e)),
                ]
            }

            /// Losses of hard labels around two magnitudes, 2^high and 2^-low apart: on both
            /// sides of where the block sums stop being exact.
            fn spread() -> impl Strategy<Value = (Vec<$real>, Vec<$real>)> {
                (-1..15i32, 0..45u8, 0..1500usize).prop_flat_map(|(high, low, length)| {
                    let large = (0.5..1.0 as $real).prop_map(move |x| x * (2.0 as $real).powi(high));
                    let small = (0.0..1.0 as $real)
                        .prop_map(move |x| -(x + $real::from(low)) * core::$real::consts::LN_2);
                    let z = prop::collection::vec(prop_oneof![4 => large, 1 => small], length);
                    (z, Just(vec![0.0; length]))
                })
            }

            /// Mostly finite; now and then an infinity or NaN somewhere.
            fn data() -> impl Strategy<Value = (Vec<$real>, Vec<$real>)> {
                let value = vec![$real::INFINITY, $real::NEG_INFINITY, $real::NAN];
                let spoil = (any::<prop::sample::Index>(), prop::sample::select(value));
                let spoil = prop_oneof![
                    3 => Just(vec![]),
                    1 => prop::collection::vec(spoil, 1..3),
                ];
                let targets = prop::collection::vec(target(), 1500);
                let pairs = prop_oneof![(logits(), targets), spread()];
                (pairs, spoil).prop_map(|((mut z, mut t), spoil)| {
                    t.truncate(z.len());
                    for (at, value) in spoil {
                        if !z.is_empty() {
                            let at = at.index(z.len());
                            z[at] = value;
                        }
                    }
                    (z, t)
                })
            }

            proptest! {
                // Unoptimised kernels are some 50 times slower.
                #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 40 } else { 400 }))]

                /// The state is that of the losses `loss` writes, one `add` each.
                #[test]
                fn accumulate_adds_exactly_what_loss_writes(
                    (z, t) in data(),
                    cut in any::<prop::sample::Index>(),
                ) {
                    let bce = Bce::<$real>::new();
                    let mut losses = vec![0.0; z.len()];
                    prop_assert_eq!(bce.loss(&z, &t, &mut losses), Ok(()));
                    let mut expected = LossSum::new();
                    losses.iter().for_each(|&loss| expected.add(f64::from(loss)));

                    let cut = cut.index(z.len() + 1);
                    for backend in Backend::available() {
                        let bce = Bce::<$real>::new().backend(backend).unwrap();
                        let mut at_once = LossSum::new();
                        prop_assert_eq!(bce.accumulate(&z, &t, &mut at_once), Ok(()));
                        prop_assert_eq!(at_once.to_bytes(), expected.to_bytes(), "{}", backend.name());

                        let (mut left, mut right) = (LossSum::new(), LossSum::new());
                        prop_assert_eq!(bce.accumulate(&z[..cut], &t[..cut], &mut left), Ok(()));
                        prop_assert_eq!(bce.accumulate(&z[cut..], &t[cut..], &mut right), Ok(()));
                        right.merge(&left);
                        prop_assert_eq!(right.to_bytes(), expected.to_bytes(), "{}", backend.name());

                        let sum = bce.sum(&z, &t).unwrap();
                        prop_assert_eq!(sum.is_nan(), expected.to_f64().is_nan());
                        prop_assert!(sum.is_nan() || sum.to_bits() == expected.to_f64().to_bits());
                    }
                }
            }

            /// Cut into as many parts as their largest asks for, or taken apart by exponents.
            #[test]
            fn losses_down_to_subnormal_ones_beside_any_largest_are_exact() {
                for top in 4..$real::MAX_EXP {
                    let largest = (2.0 as $real).powi(top);
                    let at = |i: u32| (f64::from(i) * 0.618_033_988_749_894_9).fract() as $real;
                    let wrong = |i: u32| i.is_multiple_of(2);
                    let z = |i| if wrong(i) { largest * (1.0 + at(i)) } else { $deep * at(i) };
                    let z: Vec<$real> = (0..1000).map(z).collect();
                    let t: Vec<$real> = (0..1000).map(|i| if wrong(i) { 0.0 } else { 1.0 }).collect();
                    let mut losses = vec![0.0; z.len()];
                    Bce::<$real>::new().loss(&z, &t, &mut losses).unwrap();
                    let mut expected = LossSum::new();
                    losses.iter().for_each(|&loss| expected.add(f64::from(loss)));
                    for backend in Backend::available() {
                        let mut sum = LossSum::new();
                        let bce = Bce::<$real>::new().backend(backend).unwrap();
                        bce.accumulate(&z, &t, &mut sum).unwrap();
                        assert_eq!(sum.to_bytes(), expected.to_bytes(), "{} {top}", backend.name());
                    }
                }
            }

            /// A sum of `f64` losses of a block may overflow where the state does not.
            #[test]
            fn blocks_of_the_greatest_losses_are_exact() {
                for backend in Backend::available() {
                    let bce = Bce::<$real>::new().backend(backend).unwrap();
                    let (z, t) = ([$real::MAX; 1000], [0.0; 1000]);
                    let mut sum = LossSum::new();
                    bce.accumulate(&z, &t, &mut sum).unwrap();
                    let mut expected = LossSum::new();
                    (0..1000).for_each(|_| expected.add(f64::from($real::MAX)));
                    assert_eq!(sum.to_bytes(), expected.to_bytes(), "{}", backend.name());
                }
            }

            /// A refused call leaves the sum as it was.
            #[test]
            fn an_error_adds_nothing() {
                let (z, mut t) = (vec![1.0; 1000], vec![0.5; 1000]);
                t[900] = 1.5;
                for backend in Backend::available() {
                    let bce = Bce::<$real>::new().backend(backend).unwrap();
                    let mut sum = LossSum::new();
                    sum.add(2.0);
                    let before = sum.clone();
                    assert!(bce.accumulate(&z, &t, &mut sum).is_err());
                    assert!(bce.accumulate(&z, &t[1..], &mut sum).is_err());
                    assert_eq!(sum, before, "{}", backend.name());
                }
            }
        }
    };
}

accumulate_tests!(single, f32, 104.0);
accumulate_tests!(double, f64, 746.0);
