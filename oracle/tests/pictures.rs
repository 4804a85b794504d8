//! The pictures show the budgets that hold: made anew when the table changes, by
//! `cargo run --release -p soft-bce-oracle --bin plot -- docs/accuracy`.

use soft_bce_oracle::budget::{PICTURED, caption};

const PICTURES: [(&str, &str); 2] = [
    ("f32", include_str!("../../docs/accuracy/ulp-f32.svg")),
    ("f64", include_str!("../../docs/accuracy/ulp-f64.svg")),
];

/// The captions that should be in the picture and are not.
fn missing(format: &str, picture: &str) -> Vec<String> {
    PICTURED
        .iter()
        .map(|&function| caption(function, format).expect("a budget"))
        .filter(|caption| !picture.lines().any(|line| line == caption))
        .collect()
}

#[test]
fn pictures_show_the_budgets_of_the_table() {
    for (format, picture) in PICTURES {
        let missing = missing(format, picture);
        assert!(missing.is_empty(), "not in ulp-{format}.svg: {missing:?}");
    }
}

#[test]
fn a_stale_budget_is_seen() {
    for (format, picture) in PICTURES {
        let shown = caption(PICTURED[0], format).expect("a budget");
        let stale = picture.replace(&shown, "loss, within 1.9 ULP");
        assert_eq!(missing(format, &stale), [shown]);
    }
}
