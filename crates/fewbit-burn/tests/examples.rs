//! The examples, run as tests: each asserts its own result.

#[path = "../examples/regression.rs"]
mod regression;
#[path = "../examples/trainer.rs"]
mod trainer;

#[test]
fn a_users_regression_with_a_metric_of_its_own() {
    regression::run().unwrap();
}

#[test]
fn a_users_classifier_through_the_trainer() {
    trainer::run().unwrap();
}
