//! A network of words knows the words it was trained on, and no others.

mod common;

use std::fs;

use common::{Scratch, short_train};
use serde_json::Value;

/// Some 700 words to train on, of which the last 100, held back, would change which words are the most frequent; and 60 to test.
fn write_text(scratch: &Scratch) {
    let lines = |first: usize, count: usize, words: &str| -> String {
        (first..first + count).map(|line| format!("{words} w{} w{}\n", line % 7, line % 30)).collect()
    };
    let train = lines(0, 100, "a b c") + &lines(3, 16, "late later latest");
    scratch.write("text/valid.txt", train.as_bytes());
    scratch.write("text/test.txt", lines(5, 10, "late a b").as_bytes());
}

#[test]
fn eval_knows_the_words_that_training_knew() {
    let scratch = Scratch::new();
    write_text(&scratch);
    let settings = [
        "model.vocabulary=30",
        "model.cutoffs=[10, 20]",
        "model.dim=16",
        "model.layers=1",
        "model.ffn=32",
        "budget.ratio=4",
        "training.context=8",
        "training.evaluation_batch_size=4",
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let of_words = [&["wikitext-small", "--data", "text", "--out", "run"], &settings[..]].concat();
    scratch.run(&short_train(&of_words)).ok();
    let metrics = fs::read_to_string(scratch.path("run/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let out = scratch.run(&["eval", "run/model.fewbit", "--data", "text", "--format", "json"]).ok();
    let found: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!((&found["metric"], &found["value"]), (&last["metric"], &last["value"]));
    let told = scratch.run(&["inspect", "run/model.fewbit"]).ok().stdout;
    assert!(told.contains("validation") && told.contains("100"), "{told}");
}
