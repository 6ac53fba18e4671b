//! A person's browser, as far as the server sees it: one cookie jar, forms with their origin, no redirects followed.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::json;

use crate::app::TestApp;
use crate::http::{Answer, Http};

/// A browser that holds the cookies it was given.
#[derive(Clone, Debug)]
pub struct Browser {
    http: Http,
    url: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A fresh one.
    pub fn new(app: &TestApp) -> Self {
        Self { http: Http::new(), url: app.url().to_owned(), cookies: BTreeMap::new() }
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
        let (old, new) = (port(&self.url), port(app.url()));
        let moved = self.cookies.iter().map(|(name, value)| (name.replace(&old, &new), value.clone()));
        Self { http: Http::new(), url: app.url().to_owned(), cookies: moved.collect() }
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
        let mut request = Request::get(url).header(header::COOKIE, self.cookies());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.http.send(request.body(Full::default()).expect("a request")).await;
        self.keep(answer)
    }

    /// Sends a form, as a page of the server's would.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = self.url.clone();
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
    link.strip_prefix(app.url()).expect("a link to this server").to_owned()
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
