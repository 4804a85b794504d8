//! The same bits on every backend and machine: hashes of a fixed corpus against the committed ones.
//!
//! `WRITE_HASHES=1 cargo test --test hashes` writes them anew, after a change of the kernel that is
//! meant to change results.

mod corpus;

use soft_bce::Backend;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hashes.txt");

fn hashes(backend: Backend) -> String {
    let mut lines = String::new();
    let mut report = |format: &str, operation: &str, mode: &str, hash: u64| {
        lines += &format!("{format} {operation} {mode} {hash:016x}\n");
    };
    corpus::hash_all::<f32>(backend, &mut report).expect("the corpus is valid");
    corpus::hash_all::<f64>(backend, &mut report).expect("the corpus is valid");
    lines
}

#[test]
fn every_backend_gives_the_committed_hashes() {
    if std::env::var_os("WRITE_HASHES").is_some() {
        std::fs::write(FILE, hashes(Backend::Scalar)).expect("tests/hashes.txt can be written");
        return;
    }
    // Built in, so that it is at hand where the tests run without the source tree.
    let committed = include_str!("hashes.txt");
    let mut backends = 0;
    for backend in Backend::available() {
        let computed = hashes(backend);
        let differing: Vec<_> = computed
            .lines()
            .zip(committed.lines())
            .filter(|(a, b)| a != b)
            .collect();
        assert!(
            differing.is_empty(),
            "{}: computed, committed: {differing:#?}",
            backend.name()
        );
        assert_eq!(
            computed.lines().count(),
            committed.lines().count(),
            "{}",
            backend.name()
        );
        println!(
            "{}: {} hashes as committed",
            backend.name(),
            computed.lines().count()
        );
        backends += 1;
    }
    assert!(backends >= 2, "Scalar and Wide run everywhere");
}
