//! What `benches/against.sh` builds on each revision and times: all operations behind one C
//! function. Uses only what the crate's public interface has had since c573f7e.

use std::ffi::{CStr, c_char};
use std::hint::black_box;
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

    macro_rules! each {
        (|$bce:ident, $z:ident, $t:ident, $g:ident, $h:ident| $call:expr) => {
            if weighted {
                each(n, calls, [z, t, w], [g, h], |$z, $t, w, $g, $h| {
                    let $bce = bce.weights(w);
                    $call
                })
            } else {
                each(n, calls, [z, t, w], [g, h], |$z, $t, _, $g, $h| {
                    let $bce = &bce;
                    $call
                })
            }
        };
    }
    let elapsed = match operation {
        "loss" => each!(|bce, z, t, g, _h| bce.loss(z, t, g).map(done)),
        "sum" => each!(|bce, z, t, _g, _h| bce.sum(z, t)),
        "mean" => each!(|bce, z, t, _g, _h| bce.mean(z, t)),
        "gradient" => each!(|bce, z, t, g, _h| bce.gradient(z, t, g).map(done)),
        "sum_gradient" => each!(|bce, z, t, g, _h| bce.sum_gradient(z, t, g)),
        "mean_gradient" => each!(|bce, z, t, g, _h| bce.mean_gradient(z, t, g)),
        "gradient_hessian" => {
            each!(|bce, z, t, g, h| bce.gradient_hessian(z, t, g, h).map(done))
        }
        "sum_gradient_hessian" => {
            each!(|bce, z, t, g, h| bce.sum_gradient_hessian(z, t, g, h))
        }
        // Free functions, always of the detected backend.
        "sigmoid" if detected => each!(|_bce, z, _t, g, _h| soft_bce::sigmoid(z, g).map(done)),
        "log_sigmoid" if detected => {
            each!(|_bce, z, _t, g, _h| soft_bce::log_sigmoid(z, g).map(done))
        }
        "softplus" if detected => each!(|_bce, z, _t, g, _h| soft_bce::softplus(z, g).map(done)),
        "logit" if detected => each!(|_bce, _z, t, g, _h| soft_bce::logit(t, g).map(done)),
        _ => return None,
    };
    elapsed.ok()
}

/// Times calls on one part of the ring after the other.
#[inline(always)]
fn each<T>(
    n: usize,
    calls: usize,
    [z, t, w]: [&[T]; 3],
    [g, h]: [&mut [T]; 2],
    mut call: impl FnMut(&[T], &[T], &[T], &mut [T], &mut [T]) -> Result<f64, Error>,
) -> Result<f64, Error> {
    let n = black_box(n.max(1));
    let mut left = calls;
    let start = Instant::now();
    while left > 0 {
        let inputs = z
            .chunks_exact(n)
            .zip(t.chunks_exact(n))
            .zip(w.chunks_exact(n));
        let outputs = g.chunks_exact_mut(n).zip(h.chunks_exact_mut(n));
        for (((z, t), w), (g, h)) in inputs.zip(outputs).take(left) {
            black_box(call(z, t, w, g, h)?);
            left -= 1;
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / calls as f64)
}
