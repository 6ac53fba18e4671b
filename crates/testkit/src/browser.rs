//! A person's browser, as far as the server sees it: one cookie jar, forms with their origin, no redirects followed.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::http::{Answer, Http};
use crate::passkey::Passkey;

/// A browser that holds the cookies it was given.
#[derive(Clone, Debug)]
pub struct Browser {
    http: Http,
    /// Where the server listens.
    url: String,
    /// What the browser calls it: scheme, host and port.
    home: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A fresh one.
    pub fn new(app: &TestApp) -> Self {
        let url = format!("http://{}", app.app().address());
        Self { http: Http::new(), url, home: app.app().people_url().to_owned(), cookies: BTreeMap::new() }
    }

    /// One in which a person was added, given a link, and signed in.
    ///
    /// # Panics
    /// If that does not work.
    pub async fn of_person(app: &TestApp, name: &str) -> Self {
        app.admin("POST", "/v1/people", json!({"name": name})).await.ok();
        let mut browser = Self::new(app);
        browser.sign_in(app, name).await;
        browser
    }

    /// Signs a person in with a new link.
    ///
    /// # Panics
    /// If that does not work.
    pub async fn sign_in(&mut self, app: &TestApp, name: &str) {
        let path = link(app, name).await;
        let answer = self.post(&path, &[]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
    }

    /// The cookies it sends.
    pub fn cookies(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// The same browser at the same data behind another port, after a restart: it still has its login.
    #[must_use]
    pub fn at(&self, app: &TestApp) -> Self {
        let port = |url: &str| url.rsplit(':').next().unwrap_or_default().to_owned();
        let fresh = Self::new(app);
        let (old, new) = (port(&self.url), port(&fresh.url));
        let moved = self.cookies.iter().map(|(name, value)| (name.replace(&old, &new), value.clone()));
        Self { cookies: moved.collect(), ..fresh }
    }

    /// Opens an address of the server.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    /// The same with further headers.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let mut request = Request::get(url).header(header::HOST, self.host()).header(header::COOKIE, self.cookies());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.http.send(request.body(Full::default()).expect("a request")).await;
        self.keep(answer)
    }

    /// Sends a form, as a page of the server's would.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = self.home.clone();
        self.post_with(path, fields, &[("origin", &origin), ("sec-fetch-site", "same-origin")]).await
    }

    /// Sends a form with these headers and no others.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn post_with(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let form: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let mut request = Request::post(format!("{}{path}", self.url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::HOST, self.host())
            .header(header::COOKIE, self.cookies());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.http.send(request.body(Full::new(Bytes::from(form.join("&")))).expect("a request")).await;
        self.keep(answer)
    }

    /// What every form of its login carries, read off a page.
    pub async fn form_key(&mut self) -> String {
        hidden(&self.get("/sign-in").await.text(), "form")
    }

    /// Registers a passkey in whatever is signed in.
    ///
    /// # Panics
    /// If that does not work.
    pub async fn register_passkey(&mut self) -> Passkey {
        let page = self.get("/passkeys").await.text();
        let (passkey, fields) = Passkey::make(&options(&page), &self.home);
        let key = hidden(&page, "form");
        let mut fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("form", &key));
        let answer = self.post("/passkeys", &fields).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        passkey
    }

    /// Shows a passkey to a page: the form that it would send, nothing if the page asks for none.
    pub async fn shown(&mut self, path: &str, passkey: &mut Passkey) -> Vec<(&'static str, String)> {
        let page = self.get(path).await.text();
        if !page.contains("data-passkey=\"get\"") {
            return Vec::new();
        }
        let mut fields = passkey.show(&options(&page), &self.home);
        fields.push(("form", hidden(&page, "form")));
        fields
    }

    /// Sends a form that was made by [`Browser::shown`].
    pub async fn send(&mut self, path: &str, fields: &[(&'static str, String)]) -> Answer {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.post(path, &fields).await
    }

    /// Signs in by a passkey, if nobody is signed in; the status tells how it went.
    pub async fn enter(&mut self, passkey: &mut Passkey) -> Answer {
        self.forget();
        let fields = self.shown("/sign-in", passkey).await;
        self.send("/sign-in", &fields).await
    }

    /// Shows a passkey again in the same login; the status tells how it went.
    pub async fn step_up(&mut self, passkey: &mut Passkey) -> Answer {
        let fields = self.shown("/step-up", passkey).await;
        self.send("/step-up", &fields).await
    }

    /// Forgets its cookies.
    pub fn forget(&mut self) {
        self.cookies.clear();
    }

    /// Somebody with these roles, signed in by a passkey that they registered just now.
    ///
    /// # Panics
    /// If that does not work.
    pub async fn with_roles(app: &TestApp, name: &str, roles: &[&str]) -> (Self, Passkey) {
        app.admin("POST", "/v1/people", json!({"name": name, "roles": roles})).await.ok();
        let mut browser = Self::new(app);
        browser.sign_in(app, name).await;
        let passkey = browser.register_passkey().await;
        (browser, passkey)
    }

    /// Asks the admin API as a page of the server's would.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn api(&mut self, method: &str, path: &str, body: Value) -> Answer {
        let site = ("sec-fetch-site", "same-origin");
        if method == "GET" {
            return self.api_with(method, path, body, &[site]).await;
        }
        let key = self.form_key().await;
        let origin = self.home.clone();
        self.api_with(method, path, body, &[("chancery-form", &key), ("origin", &origin), site]).await
    }

    /// The same with these headers and no others.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn api_with(&mut self, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::HOST, self.host())
            .header(header::COOKIE, self.cookies());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.http.send(request.body(Full::new(Bytes::from(body))).expect("a request")).await;
        self.keep(answer)
    }

    fn host(&self) -> &str {
        self.home.split_once("://").map_or("", |(_, host)| host)
    }

    fn keep(&mut self, answer: Answer) -> Answer {
        let set = answer.header("set-cookie");
        if let Some((name, value)) = set.split(';').next().and_then(|pair| pair.split_once('=')) {
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }
}

/// The path of a new sign-in link.
pub(crate) async fn link(app: &TestApp, name: &str) -> String {
    let made = app.admin("POST", &format!("/v1/people/{}/setup-link", encoded(name)), json!({})).await.ok();
    let link = made["link"].as_str().expect("a link").to_owned();
    link.strip_prefix(app.app().people_url()).expect("a link to this server").to_owned()
}

/// What a page gives its script to make or show a passkey with.
fn options(page: &str) -> Value {
    let text = page.split("data-options=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let text = text
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("no options ({e}) on {page}"))
}

/// The value of a hidden field of a page; empty if there is none.
pub fn hidden(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let value = page.split(&start).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    value.replace("&amp;", "&").replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")
}

/// A text as it stands in a query or form.
pub fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
