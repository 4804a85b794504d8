//! Every backend, type, operation and length: `cargo bench --bench criterion -- 'f32/sum/avx2/16384$'`.
//! Lists the cases that it cannot run here, and why.

mod cases;

use std::cell::OnceCell;
use std::hint::black_box;
use std::time::Duration;

use cases::{BACKENDS, Buffers, Std, Task};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use soft_bce::Bce;

const LENGTHS: [usize; 8] = [1, 8, 64, 1 << 10, 16 << 10, 256 << 10, 16 << 20, 64 << 20];

fn bench<T: Std>(criterion: &mut Criterion) {
    for n in LENGTHS {
        // Filled only if a case of this length passes the filter.
        let mut buffers = OnceCell::new();
        for task in Task::ALL {
            let mut group = criterion.benchmark_group(format!("{}/{}", T::NAME, task.name()));
            group.throughput(Throughput::Elements(n as u64));
            if n > 1 << 20 {
                group.sampling_mode(SamplingMode::Flat);
                group.sample_size(10);
                group.warm_up_time(Duration::from_millis(500));
                group.measurement_time(Duration::from_secs(2));
            } else {
                group.sample_size(30);
                group.warm_up_time(Duration::from_millis(200));
                group.measurement_time(Duration::from_millis(600));
            }
            group.bench_function(BenchmarkId::new("std", n), |bencher| {
                buffers.get_or_init(|| Buffers::typical(n));
                if let Some(buffers) = buffers.get_mut() {
                    bencher.iter(|| black_box(black_box(&mut *buffers).std_loop(task, n)));
                }
            });
            for backend in BACKENDS {
                let Some(bce) = (match task.obstacle(backend) {
                    None => Bce::<T>::new().backend(backend).ok(),
                    Some(_) => None,
                }) else {
                    continue;
                };
                group.bench_function(BenchmarkId::new(backend.name(), n), |bencher| {
                    buffers.get_or_init(|| Buffers::typical(n));
                    if let Some(buffers) = buffers.get_mut() {
                        bencher.iter(|| black_box(black_box(&mut *buffers).call(task, &bce, 0, n)));
                    }
                });
            }
            group.finish();
        }
    }
}

fn main() {
    for task in Task::ALL {
        for backend in BACKENDS {
            if let Some(obstacle) = task.obstacle(backend) {
                println!("not run: {} {}: {obstacle}", task.name(), backend.name());
            }
        }
    }
    let mut criterion = Criterion::default().configure_from_args();
    bench::<f32>(&mut criterion);
    bench::<f64>(&mut criterion);
    criterion.final_summary();
}
