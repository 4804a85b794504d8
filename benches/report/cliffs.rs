//! Inputs that could be slow.

use std::error::Error;
use std::hint::black_box;

use crate::Options;
use crate::cases::corpus::Random;
use crate::cases::{BACKENDS, Buffers, Operation, Std, Task};
use crate::measure::{Case, Meter};
use crate::render::{Cell, Table};
use soft_bce::{Backend, Bce};

const N: usize = 16 << 10;
const PAGE: usize = 4096;
/// A short slice: whole vectors, and a rest.
const SHORT: usize = 67;
const CALLS: usize = 64;
const TASK: Task = Task::Call(Operation::SumGradient);

/// sum_gradient on each input against the typical one.
pub fn table(options: &Options, meter: &mut Meter) -> Result<Table, Box<dyn Error>> {
    let mut table = Table::new(
        "Inputs that could be slow, sum_gradient, 16384 elements unless named:",
        &[
            "type",
            "backend",
            "input",
            "ns/element",
            "x typical",
            "limit",
        ],
    );
    measure::<f32>(options, meter, &mut table)?;
    measure::<f64>(options, meter, &mut table)?;
    Ok(table)
}

/// The first is what the others are compared with.
fn inputs<T: Std>() -> Vec<(&'static str, Buffers<T>)> {
    let single = T::NAME == "f32";
    // e^-|z| is subnormal here.
    let deep = if single { 95.0 } else { 720.0 };
    let huge: f64 = if single { 1e30 } else { 1e300 };
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let hard = |i: usize| if i.is_multiple_of(2) { 1.0 } else { 0.0 };
    let typical = Buffers::<T>::typical(N);
    let z = |i: usize| typical.z.get()[i].to_f64();
    let t = |i: usize| typical.t.get()[i].to_f64();
    let mut random = Random::new(7);
    let random: Vec<f64> = (0..2 * N).map(|_| random.unit()).collect();
    let of = |pair: &dyn Fn(usize) -> (f64, f64)| {
        Buffers::of(N, |i| {
            let (z, t) = pair(i);
            (T::from_f64(z), T::from_f64(t))
        })
    };
    vec![
        ("typical", of(&|i| (z(i), t(i)))),
        ("subnormal results", of(&|i| (deep * sign(i), hard(i)))),
        (
            "one subnormal result in 512",
            of(&|i| {
                if i % 512 == 100 {
                    (deep, 1.0)
                } else {
                    (z(i), t(i))
                }
            }),
        ),
        ("huge logits", of(&|i| (huge * sign(i), t(i)))),
        (
            "infinite logits, right targets",
            of(&|i| (f64::INFINITY * sign(i), hard(i))),
        ),
        (
            "infinite logits, wrong targets",
            of(&|i| (-f64::INFINITY * sign(i), hard(i))),
        ),
        ("hard labels", of(&|i| (z(i), t(i).round()))),
        (
            "NaN in 1 % of the logits",
            of(&|i| (if i % 97 == 0 { f64::NAN } else { z(i) }, t(i))),
        ),
        ("negative zero targets", of(&|i| (z(i), -0.0))),
        (
            "losses of all magnitudes, fast kernel",
            of(&|i| {
                let range = if single { 170.0 } else { 1400.0 };
                ((random[i] - 0.5) * range, random[i].round())
            }),
        ),
        (
            "losses of all magnitudes",
            of(&|i| {
                if random[i] < 0.5 {
                    (10_f64.powf(random[N + i] * huge.log10()), 0.0)
                } else {
                    (deep * (0.5 + random[i] / 2.0), 1.0)
                }
            }),
        ),
        (
            "targets at the stationary point",
            of(&|i| (z(i), 1.0 / (1.0 + (-z(i)).exp()))),
        ),
    ]
}

fn measure<T: Std>(
    options: &Options,
    meter: &mut Meter,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    /// Those of each input, then of short slices at places of a page.
    type All<T> = Vec<Buffers<T>>;
    let (names, mut buffers): (Vec<_>, All<T>) = inputs::<T>().into_iter().unzip();
    buffers.push(Buffers::typical(4 * PAGE));
    let short = buffers.len() - 1;
    for backend in BACKENDS {
        let slow = matches!(backend, Backend::Scalar | Backend::Wide);
        if slow && backend != Backend::detect() || !options.includes(backend) {
            continue;
        }
        let bce = Bce::<T>::new().backend(backend)?;
        let whole = |input: usize, bce: Bce<'static, T>, at: usize| {
            Case::new(N - at, move |all: &mut All<T>| {
                black_box(all[input].call(TASK, &bce, at, N - at));
            })
        };
        // Name, the position of what it is compared with, and what it may cost.
        let mut labels: Vec<_> = names.iter().map(|&name| (name, 0, 3.0)).collect();
        let mut cases: Vec<_> = (0..names.len()).map(|i| whole(i, bce, 0)).collect();
        labels.push(("misaligned by an element", 0, 3.0));
        cases.push(whole(0, bce, 1));
        if let Some(bce) = T::exact(bce) {
            let reference = cases.len();
            labels.push(("exact mode, typical", reference, 8.0));
            cases.push(whole(0, bce, 0));
            let name = "exact mode, targets at the stationary point";
            labels.push((name, reference, 8.0));
            cases.push(whole(names.len() - 1, bce, 0));
        }
        let reference = cases.len();
        for (name, start) in [
            ("67 elements within a page", 0),
            (
                "67 elements whose rest crosses a page",
                PAGE / size_of::<T>() - (SHORT - 1),
            ),
        ] {
            labels.push((name, reference, 3.0));
            cases.push(Case::new(SHORT * CALLS, move |all: &mut All<T>| {
                let Buffers { z, t, g, .. } = &mut all[short];
                let place = |first: *const T| first.align_offset(PAGE) + start;
                let z = &z.get()[place(z.get().as_ptr())..][..SHORT];
                let t = &t.get()[place(t.get().as_ptr())..][..SHORT];
                let at = place(g.get().as_ptr());
                let g = &mut g.get_mut()[at..][..SHORT];
                for _ in 0..CALLS {
                    black_box(bce.sum_gradient(black_box(z), t, g).ok());
                }
            }));
        }
        let label = format!("{} {} cliffs", T::NAME, backend.name());
        let times = meter.measure(&label, &mut buffers, &cases);
        for ((name, reference, limit), &ns) in labels.into_iter().zip(&times) {
            let ratio = ns / times[reference];
            table.rows.push(vec![
                T::NAME.into(),
                backend.name().into(),
                name.into(),
                Cell::Number(ns, 3),
                Cell::Number(ratio, 2),
                Cell::Text(if ratio > limit {
                    format!("over {limit}")
                } else {
                    String::new()
                }),
            ]);
        }
    }
    Ok(())
}
