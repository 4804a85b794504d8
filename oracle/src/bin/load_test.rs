//! Many elements through `accumulate` and `sum` on two threads, in constant memory, against the
//! exact sum in big integers.
//!
//!     cargo run --release -p soft-bce-oracle --bin load_test -- 100000000000
//!
//! The elements are blocks that repeat, so that the exact sum is one of known multiples.

use rug::Integer;
use rug::integer::Order;
use soft_bce::{Bce, Error, LossSum};
use std::time::Instant;

/// Elements of a block; blocks are cut into calls of several lengths.
const BLOCK: usize = 1 << 15;
const THREADS: u64 = 2;

struct Block {
    z: Vec<f32>,
    t: Vec<f32>,
}

/// Logits of all sizes, those with subnormal losses included.
fn block() -> Block {
    let unit = |i: usize, step: usize| (i * step % 32_749) as f32 / 32_749.0;
    let z = |i: usize| match i % 1021 {
        0 => -100.0,
        1 => 1e30,
        _ => (unit(i, 7919) - 0.5) * 80.0,
    };
    let t = |i: usize| match i % 5 {
        0 => 0.0,
        1 => 1.0,
        _ => unit(i, 104_729),
    };
    Block {
        z: (0..BLOCK).map(z).collect(),
        t: (0..BLOCK).map(t).collect(),
    }
}

/// The value as a multiple of 2^-1074.
fn units(value: f64) -> Integer {
    let bits = value.abs().to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let magnitude = match bits >> 52 {
        0 => Integer::from(fraction),
        exponent => Integer::from(fraction | 1 << 52) << (exponent - 1) as u32,
    };
    if value < 0.0 { -magnitude } else { magnitude }
}

/// The first `count` elements of the repeated block, exactly.
fn exact(losses: &[f32], count: u64) -> Integer {
    let sum_of = |losses: &[f32]| {
        losses
            .iter()
            .fold(Integer::ZERO, |sum, &loss| sum + units(loss.into()))
    };
    let rest = (count % BLOCK as u64) as usize;
    sum_of(losses) * (count / BLOCK as u64) + sum_of(&losses[..rest])
}

/// Adds the first `count` elements of the repeated block, in calls of 1 to `BLOCK` elements.
fn add(block: &Block, mut count: u64) -> Result<LossSum, Error> {
    let bce = Bce::new();
    let mut sum = LossSum::new();
    let mut cut = 1;
    while count > 0 {
        let length = count.min(BLOCK as u64) as usize;
        let (z, t) = (&block.z[..length], &block.t[..length]);
        let at = cut % length;
        bce.accumulate(&z[..at], &t[..at], &mut sum)?;
        bce.accumulate(&z[at..], &t[at..], &mut sum)?;
        cut = cut * 7919 % 104_729;
        count -= length as u64;
    }
    Ok(sum)
}

/// No `f64` is nearer to the exact sum than this one.
fn assert_nearest(rounded: f64, exact: &Integer) {
    let distance = |value: f64| (units(value) - exact).abs();
    for other in [rounded.next_down(), rounded.next_up()] {
        assert!(
            distance(rounded) <= distance(other),
            "{other:e} is nearer than {rounded:e}"
        );
    }
}

/// The most memory that the process has had, in KiB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::args()
        .nth(1)
        .as_deref()
        .unwrap_or("100000000")
        .parse()?;
    let block = block();
    let mut losses = vec![0.0; BLOCK];
    Bce::new().loss(&block.z, &block.t, &mut losses)?;

    // Each thread begins at the start of a block.
    let blocks = count.div_ceil(BLOCK as u64);
    let first = (blocks / THREADS * BLOCK as u64).min(count);
    let shares = [first, count - first];
    // One block first, so that what the threads need is there when memory is measured.
    let work = |shares: [u64; 2]| {
        std::thread::scope(|scope| {
            let workers = shares.map(|share| {
                scope.spawn({
                    let block = &block;
                    move || add(block, share)
                })
            });
            workers.map(|worker| worker.join().expect("no panic"))
        })
    };
    work([BLOCK as u64; 2])
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let before = peak_memory();
    let start = Instant::now();
    let mut total = LossSum::new();
    for sum in work(shares) {
        total.merge(&sum?);
    }
    let seconds = start.elapsed().as_secs_f64();
    let grown = peak_memory()
        .zip(before)
        .map(|(after, before)| after - before);

    let expected = exact(&losses, count);
    // No loss is negative: the state has no sign to mind.
    let state = Integer::from_digits(&total.to_bytes()[16..], Order::Lsf);
    assert_eq!(total.count(), count);
    assert!(state == expected, "the exact sum is another");
    let rounded = total.to_f64();
    assert_nearest(rounded, &expected);
    let of_block = Bce::new().sum(&block.z, &block.t)?;
    assert_nearest(of_block, &exact(&losses, BLOCK as u64));
    if let Some(grown) = grown {
        assert!(grown < 1024, "memory has grown by {grown} KiB");
    }
    println!(
        "{count} elements on {THREADS} threads in {seconds:.1} s: sum {rounded:e}, exact; memory {}",
        grown.map_or("not known here".into(), |grown| format!(
            "grown by {grown} KiB"
        ))
    );
    Ok(())
}
