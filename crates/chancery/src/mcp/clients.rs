//! The clients we know: where each keeps its settings, and the shape of an entry. Another one is another row.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

/// A client by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Anthropic Claude Code (project file)
    ClaudeCode,
    /// Anthropic Claude Desktop
    ClaudeDesktop,
    /// Cursor (project file)
    Cursor,
    /// Visual Studio Code (project file)
    Vscode,
    /// Windsurf
    Windsurf,
    /// OpenAI Codex
    Codex,
    /// Google Gemini CLI (project file)
    Gemini,
    /// Zed
    Zed,
    /// Continue (project file)
    Continue,
    /// Cline
    Cline,
    /// Roo Code (project file)
    Roo,
    /// Goose
    Goose,
    /// opencode (project file)
    Opencode,
    /// JetBrains Junie (project file)
    Junie,
    /// Amazon Q Developer (project file)
    AmazonQ,
    /// LM Studio
    LmStudio,
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The working directory: a project's own settings.
    Project,
    /// The home directory.
    Home,
    /// Where programs keep settings: `$XDG_CONFIG_HOME`, on macOS `~/Library/Application Support`.
    Settings,
}

/// The language of a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// JSON; the entry goes under this key.
    Json(&'static str),
    /// TOML; the entry goes under this table.
    Toml(&'static str),
    /// YAML; the entry goes under this key.
    Yaml(&'static str),
}

/// What is known about a client.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where its path begins.
    pub base: Base,
    /// The settings file; `{name}` stands for the entry's name.
    pub file: &'static str,
    /// Its language, and the key of its MCP servers.
    pub language: Language,
    /// The shape of an entry.
    pub shape: fn(&Start) -> Value,
}

/// How the bridge is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// The entry's name.
    pub name: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Client {
    /// The client's row.
    pub fn row(self) -> Row {
        use Base::{Home, Project, Settings};
        use Language::{Json, Toml, Yaml};
        let row = |base, file, language, shape| Row { base, file, language, shape };
        match self {
            Self::ClaudeCode => row(Project, ".mcp.json", Json("mcpServers"), typed),
            Self::ClaudeDesktop => row(Settings, "Claude/claude_desktop_config.json", Json("mcpServers"), plain),
            Self::Cursor => row(Project, ".cursor/mcp.json", Json("mcpServers"), plain),
            Self::Vscode => row(Project, ".vscode/mcp.json", Json("servers"), typed),
            Self::Windsurf => row(Home, ".codeium/windsurf/mcp_config.json", Json("mcpServers"), plain),
            Self::Codex => row(Home, ".codex/config.toml", Toml("mcp_servers"), plain),
            Self::Gemini => row(Project, ".gemini/settings.json", Json("mcpServers"), plain),
            Self::Zed => row(Settings, "zed/settings.json", Json("context_servers"), zed),
            Self::Continue => row(Project, ".continue/mcpServers/{name}.json", Json("mcpServers"), plain),
            Self::Cline => row(Settings, CLINE, Json("mcpServers"), cline),
            Self::Roo => row(Project, ".roo/mcp.json", Json("mcpServers"), plain),
            Self::Goose => row(Settings, "goose/config.yaml", Yaml("extensions"), goose),
            Self::Opencode => row(Project, "opencode.json", Json("mcp"), opencode),
            Self::Junie => row(Project, ".junie/mcp/mcp.json", Json("mcpServers"), plain),
            Self::AmazonQ => row(Project, ".amazonq/mcp.json", Json("mcpServers"), plain),
            Self::LmStudio => row(Home, ".lmstudio/mcp.json", Json("mcpServers"), plain),
        }
    }
}

const CLINE: &str = "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json";

impl Row {
    /// The settings file of an entry.
    pub fn path(&self, name: &str, home: &std::path::Path, settings: &std::path::Path) -> PathBuf {
        let file = self.file.replace("{name}", name);
        match self.base {
            Base::Project => PathBuf::from(file),
            Base::Home => home.join(file),
            Base::Settings if cfg!(target_os = "macos") => home.join("Library/Application Support").join(file),
            Base::Settings => settings.join(file),
        }
    }
}

fn plain(start: &Start) -> Value {
    json!({"command": start.command, "args": start.args})
}

fn typed(start: &Start) -> Value {
    json!({"type": "stdio", "command": start.command, "args": start.args})
}

fn zed(start: &Start) -> Value {
    json!({"source": "custom", "command": start.command, "args": start.args, "env": {}})
}

fn cline(start: &Start) -> Value {
    json!({"command": start.command, "args": start.args, "disabled": false, "autoApprove": []})
}

fn goose(start: &Start) -> Value {
    json!({
        "type": "stdio", "name": start.name, "cmd": start.command, "args": start.args,
        "enabled": true, "timeout": 300,
    })
}

fn opencode(start: &Start) -> Value {
    let command: Vec<&String> = std::iter::once(&start.command).chain(&start.args).collect();
    json!({"type": "local", "command": command, "enabled": true})
}
