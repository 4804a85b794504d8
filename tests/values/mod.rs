//! Numbers that are hard to add, for proptest.

use proptest::prelude::*;

pub fn finite() -> impl Strategy<Value = f64> {
    let near = |exponents: std::ops::Range<i32>| {
        (-(1i64 << 53)..1 << 53, exponents).prop_map(|(m, e)| m as f64 * 2f64.powi(e))
    };
    prop_oneof![
        4 => any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite()),
        4 => near(-60..4),
        2 => (any::<bool>(), 0..1u64 << 54).prop_map(|(s, m)| {
            f64::from_bits(m | (u64::from(s) << 63)) // subnormals and the binades next to them
        }),
        2 => (any::<bool>(), -1022i32..1024).prop_map(|(s, e)| {
            if s { -2f64.powi(e) } else { 2f64.powi(e) }
        }),
        1 => prop::sample::select(vec![
            0.0, -0.0, f64::MAX, -f64::MAX, 5e-324, -5e-324, f64::MIN_POSITIVE, 1.0, -1.0,
        ]),
        1 => near(900..970),
    ]
}
