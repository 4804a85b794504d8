//! fma of numbers, by definition: what all emulation falls back on.

/// a * b + c rounded once, without hardware for it.
///
/// The product of two `f32` is exact in `f64`; the sum is rounded to odd there
/// (S. Boldo, G. Melquiond, "Emulation of FMA and correctly rounded sums: proved
/// algorithms using rounding to odd", IEEE TC 57(4), 2008), and 53 >= 2 * 24 + 2
/// bits make the last rounding the only one, subnormal results included.
/// (`libm::fmaf` was wrong there: compiler-builtins issue 1262.)
#[cfg_attr(not(debug_assertions), inline(always))]
#[allow(dead_code, reason = "targets with hardware FMA do without")]
pub(crate) fn fma_by_f64(a: f32, b: f32, c: f32) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let addend = f64::from(c);
    let sum = product + addend;
    let back = sum - product;
    let error = (product - (sum - back)) + (addend - back);
    let bits = sum.to_bits();
    // Inexact and even: step to the odd neighbour on the error's side. The
    // error is NaN where a sum that is final already is infinite or NaN.
    let step = error != 0.0 && error.is_finite() && bits & 1 == 0;
    let away = (error > 0.0) == (sum > 0.0);
    let odd = if away {
        bits.wrapping_add(1)
    } else {
        bits.wrapping_sub(1)
    };
    f64::from_bits(if step { odd } else { bits }) as f32
}

/// The same, not inlined: a kernel has thirty of them.
#[cfg_attr(not(any(target_arch = "arm", target_arch = "riscv32")), cold)]
#[inline(never)]
#[allow(dead_code, reason = "targets with hardware FMA do without")]
pub(crate) fn emulated_f32(a: f32, b: f32, c: f32) -> f32 {
    fma_by_f64(a, b, c)
}

/// a * b + c rounded once; `libm` takes the hardware's instruction where it finds one.
#[cfg_attr(
    any(
        all(
            any(target_arch = "x86", target_arch = "x86_64"),
            target_feature = "fma"
        ),
        target_arch = "aarch64",
    ),
    inline(always)
)]
#[cfg_attr(
    not(any(
        all(
            any(target_arch = "x86", target_arch = "x86_64"),
            target_feature = "fma"
        ),
        target_arch = "aarch64",
    )),
    inline(never)
)]
pub(crate) fn fma_f64(a: f64, b: f64, c: f64) -> f64 {
    libm::fma(a, b, c)
}
