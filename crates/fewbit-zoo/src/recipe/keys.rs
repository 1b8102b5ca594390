//! Every key of a recipe with what it may hold.

use toml::{Table, Value};

use super::error::RecipeError;
use super::words::{
    Augment, Floats, Granularity, Method, Noise, OnNonFinite, OptimizerKind, Parametrisation, Schedule,
    SizeEstimate,
};
use crate::data::{DataSetKind, OnCorrupt, rand_augment};
use crate::models::ModelConfig;
use crate::models::setting::{self, ABOVE_ZERO, Kind, Setting, SettingError};

/// The tables of a recipe.
pub(super) const SECTIONS: [&str; 6] = ["data", "model", "quantization", "budget", "storage", "training"];

/// Numbers of steps, records and elements: far above any use, and exact as floats.
const MOST: i64 = 1 << 40;
const STEPS: Kind = Kind::Count { least: 0, most: MOST };
const EVERY: Kind = Kind::Count { least: 1, most: MOST };
const BATCH: Kind = Kind::Count { least: 1, most: 65_536 };
const EVALUATION_BATCH: Kind = Kind::Count { least: 1, most: super::MAX_EVALUATION_BATCH as i64 };
const CONTEXT: Kind = Kind::Count { least: 1, most: super::MAX_CONTEXT as i64 };
const SEGMENT: Kind = Kind::Count { least: super::MIN_SEGMENT as i64, most: super::MAX_SEGMENT as i64 };
const BITS: Kind = Kind::Number { least: ABOVE_ZERO, most: 16.0 };
const RATE: Kind = Kind::Number { least: ABOVE_ZERO, most: 1e6 };
const SHARE: Kind = Kind::Number { least: 0.0, most: 1.0 };
/// Shares from a Beta(α, α) with a larger α are all near one half, and long to draw.
const ALPHA: Kind = Kind::Number { least: 0.0, most: 4.0 };
const WEIGHT: Kind = Kind::Number { least: 0.0, most: 1e12 };

/// Every key of a recipe whose network is of this kind.
pub(super) fn all(model_kind: Option<&str>) -> Vec<Setting> {
    let data = [
        ("augment", Kind::Choice(Augment::WORDS)),
        ("rand_augment", Kind::Number { least: 0.0, most: rand_augment::MOST as f64 }),
        ("erasing", SHARE),
        ("mixup", ALPHA),
        ("cutmix", ALPHA),
        ("repeats", Kind::Count { least: 1, most: 64 }),
        ("validation", STEPS),
        ("on_corrupt", Kind::Choice(OnCorrupt::WORDS)),
    ];
    let quantization = [
        ("method", Kind::Choice(Method::WORDS)),
        ("noise", Kind::Choice(Noise::WORDS)),
        ("parametrisation", Kind::Choice(Parametrisation::WORDS)),
        ("group_size", Kind::GroupSize),
        ("min_bits", BITS),
        ("max_bits", BITS),
        ("init_bits", BITS),
        ("min_tensor_size", STEPS),
        ("include", Kind::Texts),
        ("exclude", Kind::Texts),
        ("penalty", WEIGHT),
        ("bits_learning_rate", RATE),
        ("bits_schedule", Kind::Choice(&["constant", "cosine"])),
        ("granularity", Kind::Choice(Granularity::WORDS)),
        ("size_estimate", Kind::Choice(SizeEstimate::WORDS)),
        ("bits", Kind::Count { least: 1, most: 16 }),
        ("noise_share", SHARE),
        ("rounding_share", SHARE),
    ];
    let budget = [
        ("bytes", EVERY),
        ("ratio", Kind::Number { least: ABOVE_ZERO, most: 1e6 }),
        ("bits", Kind::Number { least: ABOVE_ZERO, most: 32.0 }),
    ];
    let storage = [("floats", Kind::Choice(Floats::WORDS)), ("fold_batch_norm", Kind::Flag)];
    let training = [
        ("batch_size", BATCH),
        ("float_steps", STEPS),
        ("quantized_steps", STEPS),
        ("optimizer", Kind::Choice(OptimizerKind::WORDS)),
        ("learning_rate", RATE),
        ("quantized_learning_rate", RATE),
        // At 1 the steps would never stop growing.
        ("momentum", Kind::Number { least: 0.0, most: 0.9999 }),
        ("nesterov", Kind::Flag),
        ("distillation", SHARE),
        ("label_smoothing", SHARE),
        ("weight_decay", WEIGHT),
        ("schedule", Kind::Choice(Schedule::WORDS)),
        ("schedule_period", EVERY),
        ("schedule_factor", Kind::Number { least: ABOVE_ZERO, most: 1.0 }),
        ("warmup_steps", STEPS),
        ("clip_norm", WEIGHT),
        ("context", CONTEXT),
        ("segment", SEGMENT),
        ("segment_stride", SEGMENT),
        ("evaluate_every", EVERY),
        ("evaluation_batch_size", EVALUATION_BATCH),
        ("norm_batches", STEPS),
        ("checkpoint_every", EVERY),
        ("on_non_finite", Kind::Choice(OnNonFinite::WORDS)),
    ];
    let mut settings = vec![Setting::required("", "name", Kind::Text)];
    settings.extend(Setting::optional(
        "",
        &[("seed", Kind::Count { least: 0, most: i64::MAX }), ("twin", Kind::Text)],
    ));
    settings.push(Setting::required("data", "set", Kind::Choice(&DataSetKind::NAMES)));
    settings.extend(Setting::optional("data", &data));
    settings.extend(ModelConfig::settings(model_kind, "model"));
    settings.extend(Setting::optional("quantization", &quantization));
    settings.extend(Setting::optional("budget", &budget));
    settings.extend(Setting::optional("storage", &storage));
    settings.extend(Setting::optional("training", &training));
    settings
}

/// The kind of network that a recipe names, if it names one.
pub(super) fn model_kind(recipe: &Table) -> Option<&str> {
    recipe.get("model")?.as_table()?.get("kind")?.as_str()
}

/// Checks every key of a recipe, and the network's settings against each other.
pub(super) fn check(recipe: &Table) -> Result<(), RecipeError> {
    // The network first: its kind decides which keys there are.
    let empty = Table::new();
    let model = section(recipe, "model")?.unwrap_or(&empty);
    ModelConfig::from_table(model, "model")?;
    let mut values: Vec<(String, &Value)> = Vec::new();
    for (key, value) in recipe {
        if SECTIONS.contains(&key.as_str()) {
            let table = section(recipe, key)?.unwrap_or(&empty);
            values.extend(table.iter().map(|(name, value)| (setting::dotted(key, name), value)));
        } else {
            values.push((key.clone(), value));
        }
    }
    Ok(setting::check_all(values, &all(model_kind(recipe)))?)
}

fn section<'a>(recipe: &'a Table, name: &str) -> Result<Option<&'a Table>, SettingError> {
    match recipe.get(name) {
        None => Ok(None),
        Some(Value::Table(table)) => Ok(Some(table)),
        Some(other) => {
            Err(SettingError::invalid(name, setting::shortened(other), format!("a table, `[{name}]`")))
        }
    }
}
