//! The environment, read once.

use std::ffi::OsString;
use std::path::PathBuf;

use chancery_server::Places;

/// What the surroundings say. Flags go before it.
#[derive(Clone, Debug)]
pub struct Environment {
    home: PathBuf,
    data_home: PathBuf,
    config_home: PathBuf,
    /// The search path for programs, handed on to child processes.
    pub path: Option<String>,
    /// Whether colour is wanted where a person is watching.
    pub colour: bool,
}

impl Environment {
    /// Reads the variables that matter.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn read() -> Self {
        let path_of = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let home = path_of("HOME").unwrap_or_else(|| PathBuf::from("."));
        Self {
            data_home: path_of("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")),
            config_home: path_of("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            path: std::env::var("PATH").ok(),
            colour: set("CLICOLOR_FORCE") || !set("NO_COLOR"),
            home,
        }
    }

    /// The words of the command line.
    pub fn arguments(&self) -> Vec<OsString> {
        std::env::args_os().collect()
    }

    /// Where data and keys are when nothing else is said.
    pub fn places(&self) -> Places {
        Places {
            data: self.data_home.join("chancery/data"),
            kek: self.config_home.join("chancery/kek"),
            path: self.path.clone(),
        }
    }

    /// Where the keys of agents are kept.
    pub fn keys(&self) -> PathBuf {
        self.data_home.join("chancery/keys")
    }

    /// The home directory, where clients keep their settings.
    pub fn home(&self) -> &PathBuf {
        &self.home
    }

    /// Where programs keep their settings.
    pub fn config_home(&self) -> &PathBuf {
        &self.config_home
    }
}
