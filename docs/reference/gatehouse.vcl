# Varnish in front of Gatehouse: what is held, how long, and how it is purged.
# docs/how-to/cache-and-invalidate.md says how to set it up. Varnish 7 with the module xkey (Debian: varnish-modules).
#
# Start varnishd with `-p http_gzip_support=off`: Gatehouse compresses, brotli too, and Varnish keeps each form as it
# came. With Varnish's own gzip it would ask for gzip alone and unpack it for others.
vcl 4.1;

import std;
import xkey;

backend gatehouse {
    .host = "127.0.0.1";
    .port = "6458";
    # It is known to be away within two seconds; see vcl_recv.
    .probe = { .url = "/healthz"; .interval = 1s; .timeout = 1s; .window = 3; .threshold = 2; .initial = 2; }
}

# Who may purge: the hosts that Gatehouse runs on. Whoever is one of these can empty this cache.
acl purgers {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        # Behind another proxy on this host every stranger would be one of them; Varnish has added one address itself.
        if (client.ip !~ purgers || req.http.X-Forwarded-For ~ "," || req.http.Forwarded || req.http.Via) {
            return (synth(403, "Not a purger"));
        }
        if (!req.http.xkey && !req.http.xkey-soft) {
            return (synth(400, "No key"));
        }
        if (req.http.xkey) {
            set req.http.purged = xkey.purge(req.http.xkey);
        } else {
            set req.http.purged = xkey.softpurge(req.http.xkey-soft);
        }
        return (synth(200, "Purged " + req.http.purged));
    }

    # Held beyond its time only while Gatehouse is away (how long: vcl_backend_response).
    if (std.healthy(req.backend_hint)) {
        set req.grace = 0s;
    }

    # Only what all see alike: uploads, the API, the desk and what is for operators pass through.
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    if (req.url !~ "^/(simple|files|tuf)(/|\?|$)") {
        return (pass);
    }
    # Nothing there depends on who asks.
    unset req.http.Cookie;
    unset req.http.Authorization;

    # One object an address, however it is asked: a query means something on pages alone, and there one word of it.
    if (req.url !~ "^/simple/[^?]*\?format=[A-Za-z0-9.+%/]+$") {
        set req.url = regsub(req.url, "\?.*$", "");
    }

    # The forms that clients usually ask for, each under one name. What is put otherwise is left to Gatehouse, which
    # reads it strictly, and is not held: else a stranger could fill the cache with forms.
    if (req.http.Accept-Encoding) {
        if (req.http.Range) {
            unset req.http.Accept-Encoding;
        } elsif (req.http.Accept-Encoding ~ "[;*]") {
            return (pass);
        } elsif (req.http.Accept-Encoding ~ "(?i)(^|[ ,])br([ ,]|$)") {
            set req.http.Accept-Encoding = "br";
        } elsif (req.http.Accept-Encoding ~ "(?i)(^|[ ,])gzip([ ,]|$)") {
            set req.http.Accept-Encoding = "gzip";
        } else {
            unset req.http.Accept-Encoding;
        }
    }
    if (req.url !~ "^/simple") {
        # Nothing else depends on it.
        unset req.http.Accept;
    } elsif (req.http.Accept ~ "^application/vnd\.pypi\.simple\.v1\+json(, ?(application/vnd\.pypi\.simple\.v1\+html|text/html); ?q=0\.[0-9]+)*$") {
        # pip, uv
        set req.http.Accept = "application/vnd.pypi.simple.v1+json";
    } elsif (!req.http.Accept || req.http.Accept == "*/*" || req.http.Accept ~ "^text/html(,|$)") {
        # Browsers, curl
        set req.http.Accept = "text/html";
    } else {
        return (pass);
    }
    return (hash);
}

sub vcl_backend_response {
    # Gatehouse says how long: to caches that are purged in Surrogate-Control, to others in Cache-Control.
    if (beresp.http.Surrogate-Control ~ "max-age=[0-9]+") {
        set beresp.ttl = std.duration(regsub(beresp.http.Surrogate-Control, "^.*max-age=([0-9]+).*$", "\1") + "s", 0s);
    }
    # While Gatehouse is away. It counts into the grace of key rotations, and a purge that comes late finds what it
    # names here too.
    set beresp.grace = 2m;
    set beresp.keep = 0s;
    if (beresp.http.Cache-Control ~ "immutable") {
        set beresp.grace = 1d;
    }
    if (beresp.ttl <= 0s || beresp.http.Set-Cookie || beresp.status >= 500
        || beresp.http.Cache-Control ~ "no-store"
        # Without GATEHOUSE_PURGE_KIND nobody would tell this cache of a change.
        || (beresp.http.Cache-Control ~ "no-cache" && !beresp.http.Surrogate-Control)) {
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.uncacheable = true;
    }
    return (deliver);
}

sub vcl_deliver {
    # For caches alone.
    unset resp.http.xkey;
    unset resp.http.Surrogate-Control;
    unset resp.http.X-Varnish;
    unset resp.http.Via;
    set resp.http.X-Cache = "miss";
    if (obj.hits > 0) {
        set resp.http.X-Cache = "hit";
    }
}
