//! Every recipe that comes with fewbit, or its twin for two cores, runs from the first step to the file.

use std::process::Command;

#[test]
fn every_recipe_runs_twenty_steps() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fewbit")).args(["smoke", "--steps", "20"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for name in fewbit_zoo::recipe::builtin_names() {
        let recipe = fewbit_zoo::recipe::Recipe::builtin(name).unwrap();
        let small = recipe.twin.unwrap_or(recipe.name);
        assert!(told.contains(&format!("{small}: 20 steps, a file of")), "{small}: {told}");
    }
}
