//! The one instruction of hard-float Cortex-M that the language does not reach.

#![allow(unsafe_code)]

use core::arch::asm;

/// a * b + c rounded once, by `vfma.f32`. Through core registers, since stable refuses floating-point
/// ones as operands on these targets.
///
/// NaN and subnormals are IEEE 754's unless the program itself sets DN or FZ in FPSCR.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
    let result: u32;
    // SAFETY: the targets of this module (see `src/lane.rs`) have a single-precision FPU with
    // `vfma.f32`, which their hard-float calls need anyway; an assembler that knew better would
    // refuse it. Registers alone are changed, and all are declared.
    unsafe {
        asm!(
            "vmov s0, {a}",
            "vmov s1, {b}",
            "vmov s2, {c}",
            "vfma.f32 s2, s0, s1",
            "vmov {result}, s2",
            a = in(reg) a.to_bits(),
            b = in(reg) b.to_bits(),
            c = in(reg) c.to_bits(),
            result = lateout(reg) result,
            out("s0") _,
            out("s1") _,
            out("s2") _,
            options(pure, nomem, nostack),
        );
    }
    f32::from_bits(result)
}
