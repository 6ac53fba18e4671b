//! What a verb has at hand.

use std::path::PathBuf;
use std::sync::Arc;

use chancery_authenticate::SystemRandom;
use chancery_model::problem::BAD_CONFIG;
use chancery_model::{Clock, Random};
use chancery_server::{Config, ConfigError, Places};

use crate::cli::Global;
use crate::clock::SystemClock;
use crate::environment::Environment;
use crate::failure::{Done, Failure};
use crate::http::Admin;
use crate::keys::KeyRing;
use crate::output::{Format, Output};

/// What a verb has at hand.
pub struct Context {
    /// Where its results go.
    pub output: Output,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The surroundings.
    pub environment: Environment,
    global: Global,
}

const DEFAULT_URL: &str = "http://127.0.0.1:8420";

impl Context {
    /// Puts the flags and the surroundings together.
    pub fn new(global: Global, environment: Environment) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let format = global.output.as_deref().and_then(Format::named);
        let output = Output::new(format, environment.colour, clock.now());
        Self { output, clock, random: Arc::new(SystemRandom), environment, global }
    }

    /// The configuration: the file that was named, else `chancery.toml` of the working directory, else the defaults.
    pub fn config(&self) -> Done<Config> {
        let config = match self.config_file() {
            Some(path) => Config::read(&path, &self.places()),
            None => Config::without_file(&self.places()),
        };
        let mut config = config.map_err(bad_config)?;
        if let Some(data) = &self.global.data {
            config.data.clone_from(data);
        }
        chancery_server::check(&config).map_err(bad_config)?;
        Ok(config)
    }

    /// The file the configuration is read from, if any.
    pub fn config_file(&self) -> Option<PathBuf> {
        let here = PathBuf::from("chancery.toml");
        self.global.config.clone().or_else(|| here.exists().then_some(here))
    }

    /// The running server, by its admin socket.
    pub fn admin(&self) -> Done<Admin> {
        let data = match &self.global.data {
            Some(data) => data.clone(),
            None => self.config()?.data,
        };
        Ok(Admin::new(data.join("admin.sock")))
    }

    /// The server's URL as agents use it, without a trailing slash.
    pub fn url(&self) -> Done<String> {
        let url = match &self.global.url {
            Some(url) => url.clone(),
            None => self.config()?.public_url.unwrap_or_else(|| DEFAULT_URL.to_owned()),
        };
        Ok(url.trim_end_matches('/').to_owned())
    }

    /// The keys of agents.
    pub fn keys(&self) -> KeyRing {
        KeyRing::new(self.global.key_dir.clone().unwrap_or_else(|| self.environment.keys()))
    }

    /// The flags.
    pub fn global(&self) -> &Global {
        &self.global
    }

    fn places(&self) -> Places {
        let places = self.environment.places();
        Places { data: self.global.data.clone().unwrap_or(places.data), ..places }
    }
}

fn bad_config(error: ConfigError) -> Failure {
    Failure::new(BAD_CONFIG, error)
}
