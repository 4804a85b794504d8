//! Linux, or a bare machine, without std: every public function of the crate, but `Debug` and
//! `Display`, whose formatting is core's. `platforms/run.sh no-panic` looks for panics in it.
#![no_std]
#![no_main]

use core::hint::black_box;

use soft_bce::{Backend, Bce, Error, LossSum, Real, scalar};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Named by the unwind tables of the prebuilt core; never called, since panics abort.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Every function of `T`; the data are unknown to the compiler.
fn operations<T: Real>(bce: Bce<'_, T>, z: &[T], t: &[T], out: &mut [T]) -> Result<f64, Error> {
    let mut sum = LossSum::new();
    let (a, b) = out.split_at_mut_checked(z.len()).ok_or(Error::Empty)?;
    bce.loss(z, t, a)?;
    bce.gradient(z, t, a)?;
    bce.gradient_hessian(z, t, a, b)?;
    bce.accumulate(z, t, &mut sum)?;
    let mut total = bce.sum(z, t)?
        + bce.mean(z, t)?
        + bce.sum_gradient(z, t, a)?
        + bce.mean_gradient(z, t, a)?
        + bce.sum_gradient_hessian(z, t, a, b)?;
    bce.gradient_in_place(a, t)?;
    soft_bce::sigmoid(z, a)?;
    soft_bce::log_sigmoid(z, a)?;
    soft_bce::softplus(z, a)?;
    soft_bce::logit(t, b)?;
    for ((z, t), a) in z.iter().zip(t).zip(a) {
        for value in [
            scalar::sigmoid(*z),
            scalar::log_sigmoid(*z),
            scalar::softplus(*z),
        ] {
            *a = value;
            black_box(&*a);
        }
        for value in [
            scalar::loss(*z, *t)?,
            scalar::gradient(*z, *t)?,
            scalar::hessian(*z),
        ] {
            *a = value;
            black_box(&*a);
        }
    }
    let mut other = LossSum::from_bytes(black_box(&sum.to_bytes()))?;
    other.merge(&sum);
    other.add(total);
    if other != LossSum::default() && other.count() > 0 {
        total += other.to_f64();
    }
    Ok(total)
}

fn everything() -> Result<f64, Error> {
    let (z, t, w) = black_box(([0.0, 2.0], [0.5, 1.0], [1.0, 2.0]));
    let (z32, t32, w32) = black_box(([0.0_f32, 2.0], [0.5_f32, 1.0], [1.0_f32, 2.0]));
    let (mut out, mut out32) = ([0.0; 4], [0.0; 4]);
    let mut total = 0.0;
    for backend in Backend::available().chain([black_box(Backend::detect())]) {
        black_box(backend.name());
        let (bce, bce32) = (Bce::new().backend(backend)?, Bce::new().backend(backend)?);
        total += operations(bce, &z, &t, &mut out)? + operations(bce32, &z32, &t32, &mut out32)?;
        let bce = bce
            .weights(&w)
            .pos_weight(black_box(3.0))
            .label_smoothing(black_box(0.1));
        let bce32 = bce32
            .weights(&w32)
            .pos_weight(black_box(3.0))
            .label_smoothing(black_box(0.1));
        total += operations(bce, &z, &t, &mut out)? + operations(bce32, &z32, &t32, &mut out32)?;
    }
    let exact = Bce::new().exact();
    total += operations(exact, &z32, &t32, &mut out32)?;
    let (a, _) = out32.split_at_mut_checked(2).ok_or(Error::Empty)?;
    soft_bce::exact::sigmoid(&z32, a)?;
    soft_bce::exact::log_sigmoid(&z32, a)?;
    soft_bce::exact::softplus(&z32, a)?;
    black_box(a);
    Ok(total)
}

/// Called by the C start-up code, which is all that is linked besides; 0 where all went well.
#[unsafe(no_mangle)]
extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
    #[cfg(planted_panic)]
    assert!(black_box(true), "found by platforms/run.sh no-panic");
    let (z, t) = (black_box([0.0_f32, 2.0]), black_box([0.5_f32, 1.0]));
    let mut gradient = [0.0; 2];
    match Bce::new().sum_gradient(&z, &t, &mut gradient) {
        Ok(sum) if sum > 0.82 && sum < 0.8201 && gradient[0] == 0.0 => {
            i32::from(everything().is_err())
        }
        _ => 1,
    }
}
