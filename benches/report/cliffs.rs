//! Inputs that could be slow.

use std::error::Error;
use std::hint::black_box;

use crate::cases::corpus::Random;
use crate::cases::{BACKENDS, Buffers, Operation, Std, Task};
use crate::measure::{Case, measure};
use crate::render::{Table, number};
use soft_bce::{Backend, Bce};

const N: usize = 16 << 10;
const PAGE: usize = 4096;
/// A short slice: whole vectors, and a rest.
const SHORT: usize = 67;
const CALLS: usize = 64;
const TASK: Task = Task::Call(Operation::SumGradient);

/// sum_gradient on each input against the typical one.
pub fn table(rounds: usize) -> Result<Table, Box<dyn Error>> {
    let mut table = Table::new(&["type", "backend", "input", "ns", "x typical", ""]);
    rows::<f32>(rounds, &mut table)?;
    rows::<f64>(rounds, &mut table)?;
    Ok(table)
}

/// The first is what the others are compared with, the last is for exact mode too.
fn inputs<T: Std>() -> Vec<(&'static str, Buffers<T>)> {
    let single = T::NAME == "f32";
    // e^-|z| is subnormal here.
    let deep = if single { 95.0 } else { 720.0 };
    let huge: f64 = if single { 1e30 } else { 1e300 };
    let range = if single { 170.0 } else { 1400.0 };
    let typical = Buffers::<T>::typical(N);
    let z = |i: usize| typical.z.get()[i].to_f64();
    let t = |i: usize| typical.t.get()[i].to_f64();
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let hard = |i: usize| if i.is_multiple_of(2) { 1.0 } else { 0.0 };
    let mut random = Random::new(7);
    let random: Vec<f64> = (0..2 * N).map(|_| random.unit()).collect();
    let mut inputs = Vec::new();
    let mut add = |name, pair: &dyn Fn(usize) -> (f64, f64)| {
        let of = |i| {
            let (z, t) = pair(i);
            (T::from_f64(z), T::from_f64(t))
        };
        inputs.push((name, Buffers::of(N, of)));
    };
    add("typical", &|i| (z(i), t(i)));
    add("hard labels", &|i| (z(i), t(i).round()));
    add("negative zero targets", &|i| (z(i), -0.0));
    add("standard deviation 10", &|i| (z(i) * 10.0 / 3.0, t(i)));
    add("subnormal results", &|i| (deep * sign(i), hard(i)));
    add("one subnormal result in 512", &|i| match i % 512 {
        100 => (deep, 1.0),
        _ => (z(i), t(i)),
    });
    add("huge logits", &|i| (huge * sign(i), t(i)));
    add("infinite logits, right targets", &|i| {
        (f64::INFINITY * sign(i), hard(i))
    });
    add("infinite logits, wrong targets", &|i| {
        (-f64::INFINITY * sign(i), hard(i))
    });
    add("NaN in 1 % of the logits", &|i| match i % 97 {
        0 => (f64::NAN, t(i)),
        _ => (z(i), t(i)),
    });
    add("losses of all magnitudes, fast kernel", &|i| {
        ((random[i] - 0.5) * range, random[i].round())
    });
    add("losses of all magnitudes", &|i| match random[i] {
        x if x < 0.5 => (10_f64.powf(random[N + i] * huge.log10()), 0.0),
        x => (deep * (0.5 + x / 2.0), 1.0),
    });
    add("targets at the stationary point", &|i| {
        (z(i), 1.0 / (1.0 + (-z(i)).exp()))
    });
    inputs
}

fn rows<T: Std>(rounds: usize, table: &mut Table) -> Result<(), Box<dyn Error>> {
    /// Those of each input, then of short slices at places of a page.
    type All<T> = Vec<Buffers<T>>;
    let (names, mut buffers): (Vec<_>, All<T>) = inputs::<T>().into_iter().unzip();
    buffers.push(Buffers::typical(4 * PAGE));
    let (last, short) = (names.len() - 1, names.len());
    for backend in BACKENDS {
        let slow = matches!(backend, Backend::Scalar | Backend::Wide);
        if slow && backend != Backend::detect() || !backend.is_available() {
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
            let stationary = "exact mode, targets at the stationary point";
            labels.push(("exact mode, typical", reference, 8.0));
            labels.push((stationary, reference, 8.0));
            cases.extend([whole(0, bce, 0), whole(last, bce, 0)]);
        }
        let reference = cases.len();
        let across = PAGE / size_of::<T>() - (SHORT - 1);
        for (name, start) in [
            ("67 elements within a page", 0),
            ("67 elements whose rest crosses a page", across),
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
        let times = measure(rounds, &mut buffers, &cases);
        for ((name, reference, limit), &ns) in labels.into_iter().zip(&times) {
            let ratio = ns / times[reference];
            let over = if ratio > limit { "over" } else { "" };
            table.push(vec![
                T::NAME.into(),
                backend.name().into(),
                name.into(),
                number(ns, 3),
                number(ratio, 2),
                over.into(),
            ]);
        }
    }
    Ok(())
}
