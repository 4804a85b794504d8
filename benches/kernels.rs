//! Backend x type x operation x size, against a scalar loop over the standard library.
//!
//! `cargo bench -- 'f32/sum_gradient'` selects; without a filter it takes many minutes.

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use soft_bce::{Backend, Bce, Real};
use std::hint::black_box;

const SIZES: [usize; 6] = [1, 8, 64, 1 << 10, 1 << 14, 1 << 20];

/// Logits about N(0, 3) and targets uniform in [0, 1), from a linear congruential generator.
fn data(count: usize) -> (Vec<f64>, Vec<f64>) {
    let mut state = 1_u64;
    let mut unit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let z = (0..count).map(|_| (unit() + unit() + unit() + unit() - 2.0) * 5.2);
    let z = z.collect();
    (z, (0..count).map(|_| unit()).collect())
}

fn operations<T: Real>(group: &mut BenchmarkGroup<'_, WallTime>, z: &[T], t: &[T], zero: T) {
    let (mut g, mut h) = (vec![zero; z.len()], vec![zero; z.len()]);
    for backend in Backend::available() {
        let bce = Bce::<T>::new().backend(backend).expect("available");
        let mut run = |name: &str, call: &mut dyn FnMut(&mut [T], &mut [T])| {
            let id = BenchmarkId::new(format!("{name}/{}", backend.name()), z.len());
            group.bench_function(id, |bencher| bencher.iter(|| call(&mut g, &mut h)));
        };
        run("loss", &mut |g, _| bce.loss(z, t, g).unwrap());
        run("sum", &mut |_, _| {
            let _ = black_box(bce.sum(z, t));
        });
        run("gradient", &mut |g, _| bce.gradient(z, t, g).unwrap());
        run("sum_gradient", &mut |g, _| {
            let _ = black_box(bce.sum_gradient(z, t, g));
        });
        run("gradient_hessian", &mut |g, h| {
            bce.gradient_hessian(z, t, g, h).unwrap()
        });
        run("sum_gradient_hessian", &mut |g, h| {
            {
                let _ = black_box(bce.sum_gradient_hessian(z, t, g, h));
            };
        });
    }
}

/// Sum and gradient as a plain loop writes them.
macro_rules! std_loop {
    ($group:expr, $z:expr, $t:expr, $real:ident) => {{
        let mut gradient = vec![0.0 as $real; $z.len()];
        $group.bench_function(BenchmarkId::new("sum_gradient/std", $z.len()), |bencher| {
            bencher.iter(|| {
                let mut sum = 0.0;
                for ((&z, &t), g) in $z.iter().zip($t).zip(&mut gradient) {
                    sum += f64::from(z.max(0.0) - t * z + (-z.abs()).exp().ln_1p());
                    *g = 1.0 / (1.0 + (-z).exp()) - t;
                }
                black_box(sum)
            });
        });
    }};
}

fn benches(criterion: &mut Criterion) {
    for count in SIZES {
        let (z, t) = data(count);
        let single = |v: &[f64]| v.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let (z32, t32) = (single(&z), single(&t));
        let mut group = criterion.benchmark_group("f32");
        group.throughput(Throughput::Elements(count as u64));
        std_loop!(group, &z32, &t32, f32);
        operations(&mut group, &z32, &t32, 0.0);
        group.finish();
        let mut group = criterion.benchmark_group("f64");
        group.throughput(Throughput::Elements(count as u64));
        std_loop!(group, &z, &t, f64);
        operations(&mut group, &z, &t, 0.0);
        group.finish();
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = benches
}
criterion_main!(kernels);
