//! Batches from the corpus: listed hard cases, edges, an even spacing, and random cases aimed at
//! where it hurts.

use crate::corpus::{Format, Random, numbers};
use crate::mpfr::Function;

/// Elements in a batch.
pub const BATCH: usize = 4096;

/// Inputs of one batch; `z` holds probabilities for logit.
#[derive(Clone, Debug)]
pub struct Inputs<F> {
    /// Logits.
    pub z: Vec<F>,
    /// Targets.
    pub t: Vec<F>,
    /// Weights.
    pub weights: Vec<F>,
}

/// Runs listed, edge and spaced cases, then random ones up to `count` elements in all.
pub fn for_each_batch<F: Format>(
    function: Function,
    count: u64,
    seed: u64,
    mut check: impl FnMut(&Inputs<F>),
) {
    let listed = numbers::logits::<F>()
        .flat_map(|z| numbers::neighbourhood(z, 2))
        .flat_map(|z| listed_targets().map(move |t| (z, t)));
    // All of them in a run of millions; a fair sample in a small one.
    let edges = numbers::edge_logits::<F>().count() as u64;
    let stride = (edges * 18).div_ceil(count.max(1)) as usize;
    let edges = numbers::edge_logits::<F>()
        .skip(seed as usize % stride)
        .step_by(stride)
        .flat_map(|z| edge_targets(z).map(move |t| (z, t)));
    let spaced = (0..count / 8).map(|i| {
        (
            numbers::spaced_logit(i, count / 8),
            numbers::spaced_target(i),
        )
    });
    let mut random = Random::new(seed);
    let mut random_weights = random.clone();
    let random = std::iter::repeat_with(|| random_pair(&mut random));

    // Random ones only make up what is missing.
    let first = listed.chain(edges).chain(spaced);
    let at_least = first.clone().count();
    let mut pairs = first.chain(random.take((count as usize).saturating_sub(at_least)));
    loop {
        let (z, t): (Vec<F>, Vec<F>) = pairs.by_ref().take(BATCH).unzip();
        if z.is_empty() {
            break;
        }
        let weights = z
            .iter()
            .map(|_| numbers::random_weight(&mut random_weights))
            .collect();
        // logit takes its probabilities from the target generators.
        let (z, t) = if function == Function::Logit {
            let halves = vec![F::from_f64(0.5); t.len()];
            (t, halves)
        } else {
            (z, t)
        };
        check(&Inputs { z, t, weights });
    }
}

fn listed_targets<F: Format>() -> impl Iterator<Item = F> + Clone {
    numbers::targets::<F>()
        .flat_map(|t| numbers::neighbourhood(t, 2))
        .filter(|t| (0.0..=1.0).contains(&t.to_f64()))
}

/// Hard labels and quarters, and the targets about sigmoid(z).
fn edge_targets<F: Format>(z: F) -> impl Iterator<Item = F> + Clone {
    let stationary = numbers::stationary_target(z);
    let near = (-2..=2).map(move |steps| numbers::clamp_target(numbers::near(stationary, steps)));
    [0.0, 1.0, 0.5, 0.25]
        .map(F::from_f64)
        .into_iter()
        .chain(near)
}

/// A logit at random with a target at random.
pub fn random_pair<F: Format>(random: &mut Random) -> (F, F) {
    let z = numbers::random_logit(random);
    (z, numbers::random_target(z, random))
}
