//! The README says what the tree has, in what a newcomer reads in five minutes.

const README: &str = include_str!("../README.md");

/// The Markdown block in this language that comes first.
fn block(language: &str) -> &str {
    let (_, rest) = README
        .split_once(&format!("```{language}\n"))
        .expect("a block in this language");
    rest.split_once("```").expect("its end").0
}

#[test]
fn its_code_is_the_example_that_is_compiled_and_run() {
    assert_eq!(block("rust"), include_str!("../examples/readme.rs"));
}

#[test]
fn it_is_short() {
    let words = README.split_whitespace().count();
    assert!(words <= 1400, "{words} words");
}
