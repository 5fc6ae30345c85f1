"""Who is notified when something is wrong: webhooks, mail and ntfy, from which severity, and when not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bellwether.spec.fields import OBJECT_NAME_PATTERN, Block, TimeOfDay, cel, rules

PLACEHOLDERS = ("system", "severity", "state", "type", "service", "message", "since")
DEFAULT_TEMPLATE = "[{system}] {severity} {state}: {message}"
_TEMPLATE_PATTERN = r"^([^{}]|\{(" + "|".join(PLACEHOLDERS) + r")\})*$"
_URL_PATTERN = r"^https?://[^\s/@?#]+([/?#][^\s]*)?$"
_ADDRESS_PATTERN = r"^[^\s@<>,;]+@[^\s@<>,;]+$"


class QuietHours(Block):
    """A time of day in which only what is critical is sent; the rest is held until its end."""

    model_config = rules(
        cel("self.from != self.to", "quiet hours that end when they begin would be all day: raise minSeverity instead")
    )
    from_: TimeOfDay = Field(alias="from", description="When they begin, in the exchange's time zone, such as 22:00.")
    to: TimeOfDay = Field(description="When they end; before `from`, it is on the next day.")


class SecretRef(Block):
    """A Secret of the same namespace; only the pod that sends sees it."""

    name: str = Field(max_length=253, pattern=OBJECT_NAME_PATTERN, description="The Secret's name.")


class Email(Block):
    """How mail is sent."""

    host: str = Field(
        max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$", description="The mail server (SMTP)."
    )
    port: int = Field(587, ge=1, le=65535, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="starttls: the connection turns encrypted before anything is said; tls: it is from the start; "
        "none: for a relay nearby, which then gets no password.",
    )
    from_: str = Field(
        alias="from", max_length=254, pattern=_ADDRESS_PATTERN, description="The address that mail comes from."
    )
    to: list[Annotated[str, Field(max_length=254, pattern=_ADDRESS_PATTERN)]] = Field(
        min_length=1, max_length=10, description="The addresses that mail goes to."
    )


class Notification(Block):
    """Somebody who is notified once of each alarm that is raised, and once when it is over."""

    model_config = rules(
        cel(
            "self.kind == 'email' ? has(self.email) : !has(self.email)",
            "kind email needs `email` with host, from and to; the other kinds have none",
            ".email",
        ),
        cel(
            "self.kind == 'email' ? !has(self.url) : has(self.url) || has(self.secretRef)",
            "kinds webhook and ntfy need `url`, or a secretRef to a Secret with the entry url; kind email has none",
            ".url",
        ),
        cel(
            "!has(self.url) || self.kind != 'ntfy' || self.url.matches('^https?://[^/]+(/[^/?#]+)*/[-_A-Za-z0-9]{1,64}$')",
            "the url of kind ntfy ends with its topic, such as https://ntfy.sh/my-topic",
            ".url",
        ),
    )
    name: str = Field(
        max_length=40, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", description="What it is called, such as on-call."
    )
    kind: Literal["webhook", "email", "ntfy"] = Field(
        description="webhook: JSON by HTTP POST, signed; email: by SMTP; ntfy: a push message through an ntfy server."
    )
    url: str | None = Field(
        None,
        max_length=1000,
        pattern=_URL_PATTERN,
        description="Where it goes, kinds webhook and ntfy. One that is a secret itself belongs into the Secret.",
    )
    email: Email | None = Field(None, description="Settings of kind email.")
    min_severity: Literal["info", "warning", "critical"] = Field(
        "warning", description="The least severity that is sent. Session reports are info."
    )
    quiet_hours: QuietHours | None = Field(
        None, description="When only what is critical is sent. What is raised and over within them is not sent at all."
    )
    secret_ref: SecretRef | None = Field(
        None,
        description="Its entries: webhook: key (signs) and url; email: username and password; ntfy: token and url. On "
        "one machine, files in the folder NAME of BELLWETHER_NOTIFY_SECRETS.",
    )
    template: str = Field(
        DEFAULT_TEMPLATE,
        min_length=1,
        max_length=500,
        description="The text, with " + ", ".join("{" + one + "}" for one in PLACEHOLDERS) + ".",
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    f"self.matches(r'{_TEMPLATE_PATTERN}')",
                    "a template knows " + ", ".join("{" + one + "}" for one in PLACEHOLDERS) + " and no other braces",
                )
            ]
        },
    )
