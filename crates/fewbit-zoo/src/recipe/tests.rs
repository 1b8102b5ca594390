//! Recipes are read as written, written as read, and refused with the key that is wrong.

use std::num::NonZeroU32;

use toml::Table;

use super::*;
use crate::data::DataSetKind;
use crate::models::{GlyphsCnnConfig, TransformerLmConfig};

const SMALLEST: &str = "name = 'small'\n[data]\nset = 'glyphs'\n[model]\nkind = 'glyphs-cnn'\n";

fn small() -> Recipe {
    Recipe::parse(SMALLEST).unwrap()
}

/// The message for the small recipe with `key` set to `value`.
fn refusal(key: &str, value: &str) -> String {
    let mut table: Table = toml::from_str(SMALLEST).unwrap();
    match set(&mut table, key, value) {
        Err(error) => error.to_string(),
        Ok(()) => Recipe::from_table(table).unwrap_err().to_string(),
    }
}

#[test]
fn every_recipe_that_comes_with_fewbit_is_valid_and_named_after_its_file() {
    for name in builtin_names() {
        let recipe = Recipe::builtin(name).unwrap();
        assert_eq!(recipe.name, name);
        recipe.validate().unwrap();
    }
    assert_eq!(Recipe::builtin("nothing"), None);
}

/// Settings that each are in their range and together mean nothing.
#[test]
fn settings_that_do_not_fit_the_data_are_refused_by_their_key() {
    let refused = |name: &str, key: &str, value: &str| {
        let error = resolve(name, &[(key.to_owned(), value.to_owned())]).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
        error
    };
    assert!(refused("demucs-small", "model.sources", "3").contains("4, the sources of `stems`"));
    for name in ["keywords", "deit-small-pictures"] {
        refused(name, "data.augment", "crop-flip");
    }
    refused("resnet20", "data.augment", "time-shift");
    refused("resnet20", "data.on_corrupt", "skip");
    refused("vision-transformer", "model.patch_size", "3");
    refused("demucs-small", "training.segment", "1000");
    assert!(resolve("keywords", &[("data.on_corrupt".to_owned(), "skip".to_owned())]).is_ok());
}

/// A description from a stranger's file must not make attention over a million tokens.
#[test]
fn an_image_of_too_many_patches_is_refused() {
    let error =
        ModelConfig::parse("kind = 'vision-transformer'\nimage_size = 1024\npatch_size = 1").unwrap_err();
    assert!(error.to_string().contains("1048576 patches"), "{error}");
}

/// A twin is a recipe that comes with fewbit, is small itself, and of the same kind of network and data.
#[test]
fn every_twin_is_a_small_recipe_of_the_same_experiment() {
    for recipe in builtin_names().into_iter().filter_map(Recipe::builtin) {
        let Some(name) = &recipe.twin else { continue };
        let twin = Recipe::builtin(name).unwrap();
        assert_eq!(
            (twin.twin, twin.model.kind(), twin.data.set),
            (None, recipe.model.kind(), recipe.data.set)
        );
        assert!(twin.model.values() <= recipe.model.values(), "{name}");
    }
}

#[test]
fn a_recipe_written_and_read_again_is_equal() {
    let mut recipes: Vec<Recipe> = builtin_names().into_iter().filter_map(Recipe::builtin).collect();
    let mut odd = small();
    odd.name = "a_name.2".into();
    odd.seed = i64::MAX as u64;
    odd.quantization.group_size = GroupSetting::Tensor;
    odd.quantization.include = vec!["fc?.*".into(), "".into()];
    odd.quantization.penalty = Some(0.1 + 0.2);
    odd.training.quantized_learning_rate = Some(1e-300);
    recipes.push(odd);
    for recipe in recipes {
        assert_eq!(Recipe::parse(&recipe.to_toml()).unwrap(), recipe);
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let recipe = small();
    assert_eq!(recipe.seed, 0);
    assert_eq!(recipe.data.validation, 5000);
    assert_eq!(recipe.model, ModelConfig::GlyphsCnn(GlyphsCnnConfig::default()));
    assert_eq!(recipe.quantization, QuantizationConfig::default());
    assert_eq!(recipe.training, TrainingConfig::default());
    assert_eq!(recipe.training.quantized_learning_rate(), 0.1);
}

/// The list of keys and the types cannot drift apart: a recipe that holds everything names every key.
#[test]
fn the_known_keys_are_those_that_a_full_recipe_writes() {
    for name in builtin_names() {
        let mut recipe = Recipe::builtin(name).unwrap();
        recipe.training.quantized_learning_rate = Some(1.0);
        recipe.quantization.penalty = Some(1.0);
        recipe.quantization.bits_learning_rate = Some(1.0);
        recipe.twin = Some("other".into());
        recipe.budget = BudgetConfig { bytes: Some(1), ratio: Some(1.0), bits: Some(1.0) };
        let table = Table::try_from(&recipe).unwrap();
        let mut written: Vec<String> = Vec::new();
        for (key, value) in &table {
            match value.as_table() {
                Some(section) => written.extend(section.keys().map(|name| format!("{key}.{name}"))),
                None => written.push(key.clone()),
            }
        }
        let mut known: Vec<String> =
            keys::all(Some(recipe.model.kind())).into_iter().map(|setting| setting.key).collect();
        written.sort();
        known.sort();
        assert_eq!(written, known, "{name}");
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_key_what_was_found_and_what_is_needed() {
    for (key, value, found, needed) in [
        ("name", "''", "\"\"", "not empty"),
        ("seed", "-1", "-1", "a whole number from 0"),
        ("data.set", "minst", "\"minst\"", "did you mean `mnist`?"),
        ("data.augment", "flip", "\"flip\"", "one of none, crop-flip"),
        ("data.validation", "-1", "-1", "a whole number from 0"),
        ("model.kind", "glyph-cnn", "\"glyph-cnn\"", "did you mean `glyphs-cnn`?"),
        ("model.channels", "[1, 2]", "[1, 2]", "a list of 3 whole numbers"),
        ("model.channels", "[1, 2, 0]", "[1, 2, 0]", "a list of 3 whole numbers"),
        ("model.hidden", "0", "0", "a whole number from 1"),
        ("model.classes", "11", "11", "10, the classes of `glyphs`"),
        ("model.kind", "resnet", "\"resnet\"", "a model for the data set `glyphs`"),
        ("quantization.method", "ptq", "\"ptq\"", "one of fewbit"),
        ("quantization.noise", "normal", "\"normal\"", "one of gaussian, uniform"),
        ("quantization.group_size", "0", "0", "a whole number from 1"),
        ("quantization.group_size", "channel", "\"channel\"", "or \"tensor\""),
        ("quantization.min_bits", "0", "0", "a number above 0"),
        ("quantization.min_bits", "15.5", "15.5", "less than `quantization.max_bits`, 15"),
        ("quantization.max_bits", "17", "17", "at most 16"),
        ("quantization.init_bits", "2", "2", "between 2 and 15"),
        ("quantization.init_bits", "15.0", "15", "between 2 and 15"),
        ("quantization.include", "fc1", "\"fc1\"", "a list of texts"),
        ("quantization.exclude", "[1]", "[1]", "a list of texts"),
        ("quantization.penalty", "nan", "nan", "a number from 0"),
        ("quantization.penalty", "inf", "inf", "a number from 0"),
        ("training.batch_size", "0", "0", "a whole number from 1"),
        ("training.batch_size", "1.5", "1.5", "a whole number from 1"),
        ("training.batch_size", "\"64\"", "\"64\"", "a whole number from 1"),
        ("training.learning_rate", "0", "0", "a number above 0"),
        ("training.momentum", "1", "1", "a number from 0 to 0.9999"),
        ("training.momentum", "0", "true", "false where `training.momentum` is 0"),
        ("training.nesterov", "yes", "\"yes\"", "true or false"),
        ("training.warmup_steps", "1000", "1000", "fewer steps than each phase"),
        ("training.clip_norm", "-1.0", "-1", "a number from 0"),
        ("training.evaluate_every", "0", "0", "a whole number from 1"),
    ] {
        let message = refusal(key, value);
        assert!(message.contains(found), "{key} = {value}: {message}");
        assert!(message.contains(needed), "{key} = {value}: {message}");
        assert!(message.contains(key) || message.contains("nesterov"), "{message}");
    }
}

#[test]
fn a_budget_is_said_in_one_way_and_only_where_it_is_kept() {
    let of = |settings: &[(&str, &str)]| {
        let mut table: Table = toml::from_str(SMALLEST).unwrap();
        for (key, value) in settings {
            set(&mut table, key, value).unwrap();
        }
        Recipe::from_table(table).map_err(|error| error.to_string())
    };
    // 47,770 values of 4 bytes: by 16, or 2 bits each.
    for (key, value) in [("budget.bytes", "11942"), ("budget.ratio", "16"), ("budget.bits", "2.0")] {
        let recipe = of(&[("quantization.method", "fewbit"), ("budget.bytes", "5"), (key, value)]).unwrap();
        assert_eq!(recipe.train_config().budget, Some(11_942), "{key}");
    }
    let message = of(&[("quantization.method", "fewbit")]).unwrap_err();
    assert!(message.contains("`budget` is missing"), "{message}");
    let message = of(&[("quantization.method", "lsq"), ("budget.bytes", "9000")]).unwrap_err();
    assert!(message.contains("quantization.method") && message.contains("fewbit"), "{message}");
    // What the recipe says of the size of another method's file is not meant.
    let recipe = of(&[("budget.bytes", "9000"), ("quantization.method", "lsq")]).unwrap();
    assert_eq!(recipe.train_config().budget, None);
    let recipe = of(&[("budget.bytes", "9000"), ("budget.ratio", "none")]).unwrap();
    assert_eq!(recipe.budget, BudgetConfig::default());
    let both = format!("{SMALLEST}\n[budget]\nbytes = 9000\nratio = 8.0");
    let message = Recipe::parse(&both).unwrap_err().to_string();
    assert!(message.contains("budget.ratio") && message.contains("budget.bytes"), "{message}");
}

#[test]
fn an_unknown_key_suggests_the_nearest_known_one() {
    for (key, nearest) in [
        ("sed", "seed"),
        ("batch_size", "training.batch_size"),
        ("training.batchsize", "training.batch_size"),
        ("trainign.batch_size", "training.batch_size"),
        ("quantization.groupsize", "quantization.group_size"),
        ("model.chanels", "model.channels"),
        ("data.sets", "data.set"),
    ] {
        let message = refusal(key, "1");
        assert!(
            message.contains(&format!("`{key}`")) && message.contains(&format!("did you mean `{nearest}`?")),
            "{message}"
        );
    }
    // From a file as from the command line, and for a key of another kind of model too.
    for (text, key, known) in [
        ("[training]\nbatchsize = 1", "`training.batchsize`", "`training.batch_size`"),
        ("extra = 1", "`extra`", "seed"),
    ] {
        let text =
            if text.starts_with('[') { format!("{SMALLEST}{text}") } else { format!("{text}\n{SMALLEST}") };
        let message = Recipe::parse(&text).unwrap_err().to_string();
        assert!(message.contains(key) && message.contains(known), "{message}");
    }
    assert!(refusal("model.depth", "20").contains("known here: model.kind, model.channels"));
}

#[test]
fn a_missing_key_is_named() {
    for (line, key) in [
        ("name = 'small'\n", "`name`"),
        ("set = 'glyphs'\n", "`data.set`"),
        ("kind = 'glyphs-cnn'\n", "`model.kind`"),
    ] {
        let error = Recipe::parse(&SMALLEST.replace(line, "")).unwrap_err();
        assert!(error.to_string().contains(&format!("key {key} is missing")), "{error}");
    }
}

#[test]
fn text_that_is_not_a_recipe_is_an_error() {
    for text in [
        "",
        "\0",
        "name",
        "name = ",
        "model = 3",
        "[data]\n[data]",
        "name = 1\nname = 2",
        "training = [1]",
        &"[".repeat(100_000),
        &format!("name = {}", "[".repeat(100_000)),
    ] {
        assert!(Recipe::parse(text).is_err(), "{:.40}", text);
    }
    assert!(Recipe::parse("model = 3").unwrap_err().to_string().contains("`model` is 3"));
}

#[test]
fn an_override_is_typed_as_toml_and_may_leave_quotes_out() {
    let overridden = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        resolve("quick-start", &pairs).unwrap()
    };
    let recipe = overridden(&[
        ("name", "mine"),
        ("seed", "7"),
        ("training.batch_size", "64"),
        ("training.nesterov", "false"),
        ("training.learning_rate", "1"),
        ("training.quantized_learning_rate", "1e-3"),
        ("quantization.group_size", "tensor"),
        ("quantization.include", "['fc*', \"conv?\"]"),
        ("model.channels", "[4, 4, 4]"),
    ]);
    assert_eq!((recipe.name.as_str(), recipe.seed), ("mine", 7));
    assert_eq!(recipe.training.batch_size, 64);
    assert!(!recipe.training.nesterov);
    assert_eq!(recipe.training.learning_rate, 1.0);
    assert_eq!(recipe.training.quantized_learning_rate(), 1e-3);
    assert_eq!(recipe.quantization.group_size, GroupSetting::Tensor);
    assert_eq!(recipe.quantization.include, ["fc*", "conv?"]);
    let group = overridden(&[("quantization.group_size", "16")]).quantization.group_size;
    assert_eq!(group, GroupSetting::Weights(NonZeroU32::new(16).unwrap()));
    // Another kind starts afresh: the transformer's dim and heads would mean nothing to it.
    let mut table: Table = toml::from_str(&Recipe::builtin("lm-tiny").unwrap().to_toml()).unwrap();
    set(&mut table, "model.kind", "lstm-lm").unwrap();
    set(&mut table, "model.hidden", "32").unwrap();
    assert_eq!(Recipe::from_table(table).unwrap().model.kind(), "lstm-lm");
}

#[test]
fn an_override_cannot_bring_further_keys() {
    let mut table: Table = toml::from_str(SMALLEST).unwrap();
    set(&mut table, "name", "1\nseed = 5").unwrap();
    assert_eq!(table["name"].as_str(), Some("1\nseed = 5"));
    assert!(!table.contains_key("seed"));
}

#[test]
fn an_unknown_recipe_lists_the_known_ones_and_suggests_the_nearest() {
    let message = resolve("quickstart", &[]).unwrap_err().to_string();
    assert!(message.contains("did you mean `quick-start`?"), "{message}");
    for name in builtin_names() {
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_path_is_read_and_its_errors_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    assert_eq!(resolve(&path("good.toml", SMALLEST.as_bytes()), &[]).unwrap(), small());
    for (name, bytes, part) in [
        ("typo.toml", &b"nam = 1"[..], "typo.toml"),
        ("latin.toml", &b"name = '\xff'"[..], "cannot be read"),
        ("long.toml", &vec![b'#'; (1 << 20) + 1][..], "longer than 1048576 bytes"),
    ] {
        let message = resolve(&path(name, bytes), &[]).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains(name), "{message}");
    }
    let folder = folder.path().to_str().unwrap();
    for missing in [format!("{folder}/none.toml"), folder.to_owned()] {
        assert!(matches!(resolve(&missing, &[]), Err(RecipeError::Read { .. })));
    }
}

#[test]
fn text_and_images_need_their_own_models() {
    let text = |context: usize, positions: bool| {
        let mut recipe = Recipe::builtin("lm-tiny").unwrap();
        recipe.training.context = context;
        recipe.model =
            ModelConfig::TransformerLm(TransformerLmConfig { positions, ..TransformerLmConfig::default() });
        recipe
    };
    assert!(text(128, true).validate().is_ok());
    assert!(text(129, false).validate().is_ok());
    let error = text(129, true).validate().unwrap_err().to_string();
    assert!(error.contains("`training.context` is 129") && error.contains("128"), "{error}");
    let mut flipped = text(128, true);
    flipped.data.augment = Augment::CropFlip;
    assert!(flipped.validate().unwrap_err().to_string().contains("data.augment"));
}

#[test]
fn a_recipe_changed_by_a_program_is_checked_as_one_from_a_file() {
    let refused = |change: fn(&mut Recipe), part: &str| {
        let mut recipe = small();
        change(&mut recipe);
        let message = recipe.validate().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    refused(|r| r.training.batch_size = 0, "training.batch_size");
    refused(|r| r.training.learning_rate = f64::NAN, "training.learning_rate");
    refused(|r| r.seed = u64::MAX, "2^63");
    refused(|r| (r.training.float_steps, r.training.quantized_steps) = (0, 0), "training.quantized_steps");
    refused(
        |r| r.model = ModelConfig::GlyphsCnn(GlyphsCnnConfig { hidden: 0, ..Default::default() }),
        "hidden",
    );
    refused(
        |r| (r.data.set, r.data.validation) = (DataSetKind::Mnist, 60_000),
        "fewer than the 60000 training records",
    );
}

#[test]
fn what_is_done_to_pictures_is_refused_where_there_are_none() {
    let with = |recipe: &str, key: &str| resolve(recipe, &[(key.to_owned(), "0.5".to_owned())]);
    for key in ["data.erasing", "data.mixup", "data.cutmix", "training.label_smoothing"] {
        with("mnist", key).unwrap();
        let refused = with("lm-tiny", key).unwrap_err().to_string();
        assert!(refused.contains(key) && refused.contains("no images"), "{refused}");
    }
    let repeats = |recipe: &str| resolve(recipe, &[("data.repeats".to_owned(), "3".to_owned())]);
    repeats("mnist").unwrap();
    let refused = repeats("lm-tiny").unwrap_err().to_string();
    assert!(refused.contains("`data.repeats` is 3") && refused.contains("1 for `text`"), "{refused}");
    with("resnet20", "data.rand_augment").unwrap();
    let refused = with("mnist", "data.rand_augment").unwrap_err().to_string();
    assert!(refused.contains("images in colour"), "{refused}");
}
