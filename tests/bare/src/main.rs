//! Linux, or a bare machine, without std: every public function of the crate, but `Debug` and
//! `Display`, whose formatting is core's. `platforms/run.sh no-panic` looks for panics in it.
#![no_std]
#![no_main]

use core::hint::black_box;

use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_gram_scratch, merge, scan,
};
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

/// The linear head on two rows of one column, of which each is a group.
fn linear<T: Real>(bce: Bce<'_, T>, z: &[T], t: &[T], out: &mut [T]) -> Result<f64, Error> {
    let columns = [z];
    let head = Head::new(z.get(1..).unwrap_or(&[])).offset(t).bce(bce);
    let head = head.intercept(*z.first().ok_or(Error::Empty)?);
    let (mut scales, mut loss) = ([ColumnScale::ZERO], LossSum::new());
    let mut scratch = [0.0; gradient_gram_scratch(2)];
    let (mut sums, mut gram) = ([ColumnSum::default(); 4], [ColumnSum::default(); 3]);
    let mut total = 0.0;
    for x in [
        Features::rows(z, z.len(), 1)?,
        Features::strided(z, z.len(), 1, 1)?,
        Features::columns(&columns, z.len())?,
    ] {
        let x = x.part(black_box(0..z.len()));
        black_box(x.get(black_box(1), 0));
        scan(&x, &mut scales)?;
        head.logits(&x, out.get_mut(..z.len()).unwrap_or(&mut []))?;
        head.predict(&x, out.get_mut(..z.len()).unwrap_or(&mut []))?;
        for sums in sums.chunks_mut(2) {
            head.start_gradient(&scales, head.residual_scale()?, sums)?;
        }
        head.group_gradient(&x, t, &[0, 1], &mut loss, &mut sums, &mut scratch)?;
        let factor = black_box(Factor::Residual);
        head.group_sums(&x, t, factor, &[0, 1], &mut sums, &mut scratch)?;
        let (first, second) = sums.split_at_mut_checked(2).ok_or(Error::Empty)?;
        head.sum_gradient(&x, t, &mut loss, first, &mut scratch)?;
        head.column_sums(&x, t, factor, first, &mut scratch)?;
        merge(first, second)?;
        head.start_gram(&scales, head.hessian_scale()?, &mut gram)?;
        let factor = black_box(Factor::Hessian);
        head.gram(&x, t, factor, &mut gram, &mut scratch)?;
        head.sum_gradient_gram(&x, t, factor, &mut loss, first, &mut gram, &mut scratch)?;
        let scale = head.hessian_vector_scale(&scales, z)?;
        head.start_gradient(&scales, scale.merge(head.factor_scale(factor)?), first)?;
        head.hessian_vector(&x, t, z, first, &mut scratch)?;
        for sum in sums.iter().chain(&gram) {
            total += ColumnSum::from_bytes(black_box(&sum.to_bytes()))?.to_f64();
        }
        for scale in scales {
            total += ColumnScale::from_bytes(black_box(&scale.to_bytes()))?.bound();
        }
    }
    Ok(total + loss.to_f64())
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
        total += linear(bce, &z, &t, &mut out)? + linear(bce32, &z32, &t32, &mut out32)?;
        let bce = bce
            .weights(&w)
            .pos_weight(black_box(3.0))
            .label_smoothing(black_box(0.1));
        let bce32 = bce32
            .weights(&w32)
            .pos_weight(black_box(3.0))
            .label_smoothing(black_box(0.1));
        total += operations(bce, &z, &t, &mut out)? + operations(bce32, &z32, &t32, &mut out32)?;
        total += linear(bce, &z, &t, &mut out)? + linear(bce32, &z32, &t32, &mut out32)?;
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
