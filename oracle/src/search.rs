//! Hill climbing towards inputs with large errors, which random inputs seldom are.

use crate::corpus::{Format, Random};

/// Inputs at random from which one climb starts at the best.
const STARTS: u64 = 32;
/// Steps that lead no higher, after which a climb ends.
const PATIENCE: u64 = 120;

/// The largest of `evaluations` errors, NaN above all, and its input: every other climb starts `anywhere`, the
/// rest at what is the worst so far; `beside` is a step.
pub fn climb<S: Clone>(
    random: &mut Random,
    evaluations: u64,
    mut anywhere: impl FnMut(&mut Random) -> S,
    mut beside: impl FnMut(&S, &mut Random) -> S,
    mut error: impl FnMut(&S) -> f64,
) -> Option<(f64, S)> {
    let above = |a: f64, b: f64| a.is_nan() || a >= b;
    let mut worst: Option<(f64, S)> = None;
    let mut left = evaluations;
    for round in 0_u64.. {
        if left == 0 {
            break;
        }
        let mut here = worst.clone().filter(|_| round % 2 == 1);
        let starts = if here.is_some() { 0 } else { STARTS.min(left) };
        left -= starts;
        for _ in 0..starts {
            let input = anywhere(random);
            let found = error(&input);
            if here
                .as_ref()
                .is_none_or(|&(height, _)| above(found, height))
            {
                here = Some((found, input));
            }
        }
        let mut patience = PATIENCE;
        while let Some((height, input)) = &here
            && left > 0
            && patience > 0
        {
            left -= 1;
            patience -= 1;
            let next = beside(input, random);
            let found = error(&next);
            if above(found, *height) {
                if found > *height {
                    patience = PATIENCE;
                }
                here = Some((found, next));
            }
        }
        if let Some((found, input)) = here
            && worst
                .as_ref()
                .is_none_or(|&(height, _)| above(found, height))
        {
            worst = Some((found, input));
        }
    }
    worst
}

/// x some places away: from one to those of a binade, each power of two as likely.
pub fn beside<F: Format>(x: f64, random: &mut Random) -> f64 {
    let reach = 1_i64 << random.below(F::PRECISION as u64);
    let steps = 1 + random.below(reach as u64) as i64;
    let up = random.below(2) == 0;
    F::from_f64(x)
        .step(if up { steps } else { -steps })
        .to_f64()
}
