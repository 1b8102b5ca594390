//! The folder that downloads go to.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::DownloadError;

/// `$FEWBIT_CACHE`, or `fewbit` in the place of the system for what can be had again.
///
/// That is `$XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`, on Windows `%LOCALAPPDATA%`.
///
/// # Errors
/// [`DownloadError::NoCacheFolder`] where none of the variables is set.
pub fn cache_folder() -> Result<PathBuf, DownloadError> {
    System::CURRENT.cache_folder(env::var_os).ok_or(DownloadError::NoCacheFolder)
}

#[derive(Clone, Copy)]
enum System {
    Unix,
    MacOs,
    Windows,
}

impl System {
    const CURRENT: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Unix
    };

    fn cache_folder(self, variable: impl Fn(&'static str) -> Option<OsString>) -> Option<PathBuf> {
        let folder = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = || match self {
            // A relative one means nothing, by the rules of its inventors (XDG Base Directory Specification).
            Self::Unix => folder("XDG_CACHE_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| Some(folder("HOME")?.join(".cache"))),
            Self::MacOs => Some(folder("HOME")?.join("Library").join("Caches")),
            Self::Windows => folder("LOCALAPPDATA"),
        };
        folder("FEWBIT_CACHE").or_else(|| Some(base()?.join("fewbit")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(system: System, variables: &[(&str, &str)]) -> Option<PathBuf> {
        system.cache_folder(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[cfg(unix)]
    #[test]
    fn each_system_has_its_place_and_ours_goes_first() {
        let home = ("HOME", "/home/ada");
        let local = ("LOCALAPPDATA", "/local");
        let cases = [
            (System::Unix, vec![home], "/home/ada/.cache/fewbit"),
            (System::Unix, vec![home, ("XDG_CACHE_HOME", "/xdg")], "/xdg/fewbit"),
            (System::Unix, vec![home, ("XDG_CACHE_HOME", "xdg")], "/home/ada/.cache/fewbit"),
            (System::Unix, vec![home, ("XDG_CACHE_HOME", "")], "/home/ada/.cache/fewbit"),
            (System::MacOs, vec![home], "/home/ada/Library/Caches/fewbit"),
            (System::Windows, vec![home, local], "/local/fewbit"),
            (System::Unix, vec![home, ("FEWBIT_CACHE", "/data")], "/data"),
        ];
        for (system, variables, expected) in cases {
            assert_eq!(folder(system, &variables), Some(PathBuf::from(expected)), "{variables:?}");
        }
        assert_eq!(folder(System::Unix, &[("HOME", "")]), None);
    }
}
