//! The demo: starts the sample company's systems and a real server, and plays the story of `demo.json` through it.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery_model::problem::{BAD_CONFIG, LOCAL_FILE};
use chancery_server::{App, Config, Places, Transport};

use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::verbs::demo::Args;
use crate::verbs::serve::told_to_stop;

mod play;
mod stage;
mod story;
mod tell;

use play::Play;
use stage::{Running, Surroundings, failed};
use story::Story;
use tell::Teller;

/// Mode of the demo's directory: it holds keys.
const OWNER_ONLY: u32 = 0o700;

/// Where the demo keeps its files; removed afterwards unless the user chose it.
struct Place {
    path: PathBuf,
    temporary: bool,
}

/// Tells the story. Without `--once` the server then stays up until Ctrl-C.
pub async fn run(context: &Context, args: &Args) -> Done {
    let company = args.company.canonicalize().map_err(|e| {
        Failure::file(&args.company, e)
            .next("run it from the top of the repository, or name the directory: --company DIR")
    })?;
    if !stage::prepared(&company) {
        let setup = args.company.join("setup.sh");
        return Err(failed("the packages of the sample company are not installed").next(setup.display().to_string()));
    }
    let place = Place::choose(context)?;
    let story = Story::read(&company.join("demo.json"))?;
    let mut around = surroundings(context, &company, &place.path)?;
    let (_systems, urls) = start_systems(&story, &around).await?;
    let app = serve(context, &company, &place.path, &urls).await?;
    around.variables.insert("CHANCERY_URL".into(), app.url().to_owned());
    let teller = Teller::new(context.output.is_terminal() && context.environment.colour);
    let done = tokio::select! {
        done = tell((&story, &urls), &around, &place.path, teller, &app, args.once) => done,
        problem = app.failed() => Err(problem.into()),
        stop = told_to_stop() => stop,
    };
    app.stop().await;
    done
}

async fn tell(
    (story, urls): (&Story, &BTreeMap<String, String>),
    around: &Surroundings,
    place: &Path,
    teller: Teller,
    app: &App,
    once: bool,
) -> Done {
    teller.line(&story.title);
    teller.line(&format!("ready: {}", app.url()));
    store_secrets(story, around).await?;
    Play::new(story, around, place, teller).with(urls).run().await?;
    teller.line(&format!("\nthe story went as it should: {} steps", story.steps()));
    if !once {
        invite(story, around, teller, app);
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// The environment of every process of the demo: where things are, and nothing of the user's own.
fn surroundings(context: &Context, company: &Path, place: &Path) -> Done<Surroundings> {
    let program = std::env::current_exe().map_err(|e| Failure::new(LOCAL_FILE, format!("this program's path: {e}")))?;
    let shown = |path: PathBuf| path.display().to_string();
    let variables = BTreeMap::from([
        ("PATH".to_owned(), context.environment.path.clone().unwrap_or_default()),
        ("HOME".to_owned(), shown(place.to_path_buf())),
        ("ACME_DATA".to_owned(), shown(place.join("acme"))),
        ("CHANCERY".to_owned(), shown(program.clone())),
        ("CHANCERY_DATA".to_owned(), shown(place.join("data"))),
        ("CHANCERY_KEY_DIR".to_owned(), shown(place.join("keys"))),
    ]);
    Ok(Surroundings { company: company.to_path_buf(), program, variables })
}

/// Starts the systems that are reached over HTTP. Each says its URL at the end of its first line.
async fn start_systems(story: &Story, around: &Surroundings) -> Done<(Vec<Running>, BTreeMap<String, String>)> {
    let mut systems = Vec::new();
    let mut urls = BTreeMap::new();
    for (name, words) in &story.systems {
        let mut system = around.start(name, words)?;
        let line = system.line().await?;
        urls.insert(name.clone(), line.rsplit(' ').next().unwrap_or_default().to_owned());
        systems.push(system);
    }
    Ok((systems, urls))
}

/// The sample company's own configuration, with everything it keeps moved into the demo's directory.
async fn serve(context: &Context, company: &Path, place: &Path, urls: &BTreeMap<String, String>) -> Done<App> {
    let path = context.environment.path.clone();
    let places = Places { data: place.join("data"), kek: place.join("kek"), path };
    let mut config = Config::read(&company.join("chancery.toml"), &places).map_err(|e| Failure::new(BAD_CONFIG, e))?;
    (config.data, config.kek) = (places.data, places.kek);
    // A free port: a server of the user's own may have the usual one.
    config.listen.set_port(0);
    config.public_url = None;
    for (name, server) in &mut config.servers {
        match &mut server.transport {
            Transport::Http(url) => {
                let started = urls.get(name).ok_or_else(|| failed(format!("demo.json does not start `{name}`")))?;
                url.clone_from(started);
            }
            Transport::Stdio(command) => {
                command.env.insert("ACME_DATA".into(), place.join("acme").display().to_string());
            }
        }
    }
    let app = App::start(config, Arc::clone(&context.clock), Arc::clone(&context.random)).await?;
    if app.is_ready() { Ok(app) } else { Err(failed("the policies of the sample company are not in force")) }
}

/// Each system issues a key of its own; it goes from there into the sealed store and is seen by nobody in between.
async fn store_secrets(story: &Story, around: &Surroundings) -> Done {
    let program = around.program.display().to_string();
    for (name, words) in &story.secrets {
        let issued = around.run(words, "").await?;
        let set = [program.as_str(), "secret", "set", name].map(str::to_owned);
        let stored = around.run(&set, &issued.text).await?;
        if issued.exit != 0 || stored.exit != 0 {
            return Err(failed(format!("the credential of `{name}` could not be stored: {}", stored.text)));
        }
    }
    Ok(())
}

fn invite(story: &Story, around: &Surroundings, teller: Teller, app: &App) {
    teller.line(&format!("\nThe server stays up: open {}", app.url()));
    teller.line("For the commands below, paste this into another terminal:");
    for name in ["CHANCERY_DATA", "CHANCERY_KEY_DIR", "CHANCERY_URL"] {
        teller.line(&format!("  export {name}={}", around.variables.get(name).map_or("", String::as_str)));
    }
    teller.line("Then try:");
    story.afterwards.iter().for_each(|line| teller.line(&format!("  {line}")));
    teller.line("Ctrl-C stops everything.");
}

impl Place {
    /// The directory the user named, or a new one among the temporary files.
    fn choose(context: &Context) -> Done<Self> {
        let (path, temporary) = match &context.global().data {
            Some(path) => (std::path::absolute(path).map_err(|e| Failure::file(path, e))?, false),
            None => (fresh(context), true),
        };
        if path.join("data").exists() {
            let why = format!("{} holds the data of an earlier run", path.display());
            return Err(Failure::new(LOCAL_FILE, why).next("name a new directory, or remove this one"));
        }
        let made = std::fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(&path);
        made.map_err(|e| Failure::file(&path, e))?;
        let path = path.canonicalize().map_err(|e| Failure::file(&path, e))?;
        Ok(Self { path, temporary })
    }
}

/// A name nobody else can have guessed, short enough for a socket in it.
fn fresh(context: &Context) -> PathBuf {
    let name: [u8; 16] = context.random.bytes();
    let name: String = name[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    std::env::temp_dir().join(format!("chancery-demo-{name}"))
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is left to the system's own cleaning.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
