//! From what the command line says to a recipe: a name or a path, and `--set key=value`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::{Table, Value};

use super::error::RecipeError;
use super::{Method, Recipe, builtin, keys};
use crate::models::SettingError;
use crate::models::setting;

/// The longest recipe that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The recipe of this name or at this path, with the overrides applied in order.
///
/// A name that comes with fewbit wins over a file of the same name; a path ends with `.toml` or has a separator.
///
/// # Errors
/// [`RecipeError`] for an unknown name (the known ones are listed), a file that cannot be read, and every key and value
/// that is wrong, in the recipe or in an override.
pub fn resolve(name_or_path: &str, overrides: &[(String, String)]) -> Result<Recipe, RecipeError> {
    if let Some(table) = builtin::table(name_or_path) {
        return overridden(table, overrides);
    }
    let path = Path::new(name_or_path);
    let is_path =
        path.extension().is_some_and(|extension| extension == "toml") || path.components().count() > 1;
    if !is_path {
        let known = builtin::builtin_names();
        return Err(RecipeError::UnknownRecipe {
            found: name_or_path.into(),
            nearest: setting::nearest(name_or_path, known.iter().copied()),
            known,
        });
    }
    read(path).and_then(|table| overridden(table, overrides)).map_err(|source| match source {
        RecipeError::Read { .. } | RecipeError::TooLong { .. } => source,
        _ => RecipeError::InFile { path: path.into(), source: Box::new(source) },
    })
}

fn read(path: &Path) -> Result<Table, RecipeError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
        .map_err(|source| RecipeError::Read { path: path.into(), source })?;
    if text.len() as u64 > LONGEST {
        return Err(RecipeError::TooLong { path: path.into(), limit: LONGEST });
    }
    Ok(toml::from_str(&text)?)
}

fn overridden(mut table: Table, overrides: &[(String, String)]) -> Result<Recipe, RecipeError> {
    for (key, value) in overrides {
        set(&mut table, key, value)?;
    }
    Recipe::from_table(table)
}

/// Sets one key of a recipe's table: `set(&mut table, "training.batch_size", "64")`.
///
/// The value is read as TOML (`64`, `true`, `["a", "b"]`); what is not TOML is a text, so that quotes may be left out. Another
/// `model.kind` starts from that kind's defaults, as the other kind's keys would mean nothing: set it before them. A key of
/// `budget` takes the place of another, and the word `none` of all; a method of one width ends the recipe's budget.
///
/// # Errors
/// [`SettingError::UnknownKey`] with the nearest known key. The value is checked later, with the whole recipe.
pub fn set(table: &mut Table, key: &str, value: &str) -> Result<(), SettingError> {
    setting::find(key, &keys::all(keys::model_kind(table)))?;
    let value = parse_value(value);
    let Some((section, name)) = key.split_once('.') else {
        table.insert(key.into(), value);
        return Ok(());
    };
    let is_none = section == "budget" && value.as_str() == Some("none");
    // A file of one width has the size that it has: what the recipe says of another method's is not meant.
    let has_one_width = key == "quantization.method"
        && !value
            .as_str()
            .is_some_and(|word| [Method::Fewbit, Method::Diffq].map(Method::word).contains(&word));
    if is_none || has_one_width {
        table.remove("budget");
    }
    if is_none {
        return Ok(());
    }
    let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    let Value::Table(entry) = entry else {
        let needed = format!("a table, `[{section}]`");
        return Err(SettingError::invalid(section, setting::shortened(entry), needed));
    };
    // One way to say how large a file may be takes the place of another.
    if section == "budget" || key == "model.kind" && entry.get("kind") != Some(&value) {
        entry.clear();
    }
    entry.insert(name.into(), value);
    Ok(())
}

fn parse_value(text: &str) -> Value {
    // As a document of one line, so that a value with a line break cannot bring further keys.
    match toml::from_str::<Table>(&format!("value = {text}")) {
        Ok(mut table) if table.len() == 1 => {
            table.remove("value").unwrap_or_else(|| Value::String(text.into()))
        }
        _ => Value::String(text.into()),
    }
}
