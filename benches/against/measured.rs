//! What `benches/against.sh` builds on each revision and times: all operations behind one C
//! function. Uses only what the crate's public interface has had since c573f7e.

use std::ffi::{CStr, c_char};
use std::hint::black_box;
use std::ops::Range;
use std::slice::{from_raw_parts, from_raw_parts_mut};
use std::time::Instant;

use soft_bce::{Backend, Bce, Error, Real};

/// Short calls go round in this many elements, as the rows of a matrix would: they meet all
/// alignments, and stay in the first-level cache.
const RING: usize = 1024;

#[repr(C)]
pub struct Slices<T> {
    z: *const T,
    t: *const T,
    w: *const T,
    g: *mut T,
    h: *mut T,
}

/// Nanoseconds per call of a case `type/backend/mode/operation/length` (mode may be empty), or
/// -1 where this revision or this machine does not have it.
///
/// # Safety
/// `case` is a C string, and the slices are of the case's type and at least max(length, 1024) long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(case: *const c_char, slices: *const Slices<u8>, calls: usize) -> f64 {
    // SAFETY: the caller's promise.
    let case = unsafe { CStr::from_ptr(case) }.to_str().unwrap_or_default();
    let Some((element, case)) = case.split_once('/') else {
        return -1.0;
    };
    // SAFETY: the caller's promise.
    let nanoseconds = unsafe {
        match element {
            "f32" => measure::<f32>(case, &*slices.cast(), calls),
            _ => measure::<f64>(case, &*slices.cast(), calls),
        }
    };
    nanoseconds.unwrap_or(-1.0)
}

trait Element: Real + 'static {
    fn of(value: f32) -> Self;
    fn exact(bce: Bce<'static, Self>) -> Option<Bce<'static, Self>>;
}
impl Element for f32 {
    fn of(value: f32) -> Self {
        value
    }
    fn exact(bce: Bce<'static, Self>) -> Option<Bce<'static, Self>> {
        Some(bce.exact())
    }
}
impl Element for f64 {
    fn of(value: f32) -> Self {
        value.into()
    }
    fn exact(_: Bce<'static, Self>) -> Option<Bce<'static, Self>> {
        None
    }
}

unsafe fn measure<T: Element>(case: &str, slices: &Slices<T>, calls: usize) -> Option<f64> {
    let words: Vec<&str> = case.split('/').collect();
    let [backend, mode, operation, n] = words[..] else {
        return None;
    };
    let n: usize = n.parse().ok()?;
    let room = n.max(RING);
    // SAFETY: the caller's promise.
    let (z, t, w, g, h) = unsafe {
        (
            from_raw_parts(slices.z, room),
            from_raw_parts(slices.t, room),
            from_raw_parts(slices.w, room),
            from_raw_parts_mut(slices.g, room),
            from_raw_parts_mut(slices.h, room),
        )
    };

    let backend = Backend::available().find(|b| b.name() == backend)?;
    let bce = Bce::<T>::new().backend(backend).ok()?;
    let bce = match mode {
        "" | "weights" => bce,
        "exact" => T::exact(bce)?,
        "excess" => bce.excess(),
        "options" => bce.pos_weight(T::of(3.0)).label_smoothing(T::of(0.125)),
        _ => return None,
    };
    let weighted = mode == "weights";
    let detected = mode.is_empty() && backend == Backend::detect();
    let done = |()| 0.0;

    macro_rules! bce {
        (|$bce:ident, $at:ident| $call:expr) => {
            if weighted {
                each(n, calls, |$at| {
                    let $bce = bce.weights(&w[$at.clone()]);
                    $call
                })
            } else {
                each(n, calls, |$at| {
                    let $bce = &bce;
                    $call
                })
            }
        };
    }
    let elapsed = match operation {
        "loss" => bce!(|bce, at| bce
            .loss(&z[at.clone()], &t[at.clone()], &mut g[at])
            .map(done)),
        "sum" => bce!(|bce, at| bce.sum(&z[at.clone()], &t[at])),
        "mean" => bce!(|bce, at| bce.mean(&z[at.clone()], &t[at])),
        "gradient" => bce!(|bce, at| bce
            .gradient(&z[at.clone()], &t[at.clone()], &mut g[at])
            .map(done)),
        "sum_gradient" => {
            bce!(|bce, at| bce.sum_gradient(&z[at.clone()], &t[at.clone()], &mut g[at]))
        }
        "mean_gradient" => {
            bce!(|bce, at| bce.mean_gradient(&z[at.clone()], &t[at.clone()], &mut g[at]))
        }
        "gradient_hessian" => bce!(|bce, at| bce
            .gradient_hessian(
                &z[at.clone()],
                &t[at.clone()],
                &mut g[at.clone()],
                &mut h[at]
            )
            .map(done)),
        "sum_gradient_hessian" => bce!(|bce, at| bce.sum_gradient_hessian(
            &z[at.clone()],
            &t[at.clone()],
            &mut g[at.clone()],
            &mut h[at]
        )),
        // Free functions, always of the detected backend.
        "sigmoid" if detected => each(n, calls, |at| {
            soft_bce::sigmoid(&z[at.clone()], &mut g[at]).map(done)
        }),
        "log_sigmoid" if detected => each(n, calls, |at| {
            soft_bce::log_sigmoid(&z[at.clone()], &mut g[at]).map(done)
        }),
        "softplus" if detected => each(n, calls, |at| {
            soft_bce::softplus(&z[at.clone()], &mut g[at]).map(done)
        }),
        "logit" if detected => each(n, calls, |at| {
            soft_bce::logit(&t[at.clone()], &mut g[at]).map(done)
        }),
        _ => return None,
    };
    elapsed.ok()
}

/// Times calls on one part of the ring after the other.
#[inline(always)]
fn each(
    n: usize,
    calls: usize,
    mut call: impl FnMut(Range<usize>) -> Result<f64, Error>,
) -> Result<f64, Error> {
    let places = (RING / n.max(1)).max(1);
    let mut place = 0;
    let start = Instant::now();
    for _ in 0..calls {
        let at = black_box(place * n);
        black_box(call(at..at + n)?);
        place += 1;
        if place == places {
            place = 0;
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / calls as f64)
}
