//! The parallel entry points give the bits of one thread, on any number of threads.
#![cfg(feature = "rayon")]

use soft_bce::{Bce, Error, LossSum};

/// Logits, targets and weights; length not a multiple of anything.
fn data(count: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let unit = |i: usize, step: usize| ((i * step) % 9973) as f32 / 9973.0;
    let of = |step: usize| (0..count).map(move |i| unit(i, step));
    (
        of(7919).map(|u| (u - 0.5) * 60.0).collect(),
        of(104_729).collect(),
        of(1_299_709).collect(),
    )
}

#[test]
fn every_number_of_threads_gives_the_bits_of_one() {
    let (z, t, w) = data(300_007);
    for bce in [Bce::new(), Bce::new().weights(&w)] {
        let empty = || vec![0.0; z.len()];
        let (mut g, mut h, mut loss) = (empty(), empty(), empty());
        let sum = bce.sum_gradient_hessian(&z, &t, &mut g, &mut h).unwrap();
        bce.loss(&z, &t, &mut loss).unwrap();
        let mut exact = LossSum::new();
        bce.accumulate(&z, &t, &mut exact).unwrap();
        for threads in [1, 2, 3, 7] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let (mut g2, mut h2) = (empty(), empty());
                assert_eq!(bce.par_sum(&z, &t).unwrap().to_bits(), sum.to_bits());
                let again = bce.par_sum_gradient(&z, &t, &mut g2).unwrap();
                assert_eq!((again.to_bits(), &g2), (sum.to_bits(), &g));
                g2.fill(0.0);
                let again = bce
                    .par_sum_gradient_hessian(&z, &t, &mut g2, &mut h2)
                    .unwrap();
                assert_eq!((again.to_bits(), &g2, &h2), (sum.to_bits(), &g, &h));
                g2.fill(0.0);
                bce.par_gradient_hessian(&z, &t, &mut g2, &mut h2).unwrap();
                assert_eq!((&g2, &h2), (&g, &h));
                bce.par_gradient(&z, &t, &mut h2).unwrap();
                assert_eq!(h2, g);
                bce.par_loss(&z, &t, &mut h2).unwrap();
                assert_eq!(h2, loss);
                let mut total = LossSum::new();
                bce.par_accumulate(&z, &t, &mut total).unwrap();
                assert_eq!(total, exact);
            });
        }
    }
}

#[test]
fn the_first_bad_target_is_reported_and_all_outputs_are_nan() {
    let (z, mut t, _) = data(200_000);
    t[150_000] = 2.0;
    t[99_999] = f32::NAN;
    t[100_001] = -1.0;
    let mut g = vec![0.0; z.len()];
    let error = Bce::new().par_sum_gradient(&z, &t, &mut g).unwrap_err();
    assert!(matches!(error, Error::TargetOutOfRange { index: 99_999, value } if value.is_nan()));
    assert!(g.iter().all(|x| x.is_nan()));
}
