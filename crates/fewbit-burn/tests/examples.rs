//! The examples, run as tests: each asserts its own result.

#[path = "../examples/accumulation.rs"]
mod accumulation;
#[path = "../examples/learner.rs"]
mod learner;
#[path = "../examples/load.rs"]
mod load;
#[path = "../examples/own_loop.rs"]
mod own_loop;
#[path = "../examples/regression.rs"]
mod regression;
#[path = "../examples/trainer.rs"]
mod trainer;

#[test]
fn a_budget_in_a_users_own_loop() {
    own_loop::run().unwrap();
}

#[test]
fn diffq_with_accumulated_gradients() {
    accumulation::run().unwrap();
}

#[test]
fn a_budget_in_burns_own_learner() {
    learner::run().unwrap();
}

#[test]
fn a_file_into_a_users_model() {
    load::run().unwrap();
}

#[test]
fn a_users_regression_with_a_metric_of_its_own() {
    regression::run().unwrap();
}

#[test]
fn a_users_classifier_through_the_trainer() {
    trainer::run().unwrap();
}
