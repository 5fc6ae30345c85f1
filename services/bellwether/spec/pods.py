"""What a system's pods get from the cluster: volumes, places, resources, ways out."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from bellwether.spec import fields

ServiceName: TypeAlias = Literal[
    "market-data",
    "data-quality",
    "sentiment",
    "ml-model",
    "ml-training",
    "prediction",
    "paper-trading",
    "scheduler",
    "backup",
    "monitoring",
    "gateway",
    "nats",
]


class Storage(fields.Block):
    """Volumes of the system."""

    class_name: str | None = Field(
        None,
        max_length=253,
        pattern=fields.CLASS_NAME_PATTERN,
        description="The StorageClass; without it, the cluster's default.",
    )
    size: str = Field(
        "1Gi",
        pattern=fields.SIZE_PATTERN,
        max_length=8,
        description="Size of each volume, at least 100Mi; it may grow, and go back to the size that the volumes have.",
    )


class Toleration(fields.Block):
    """A taint that the pods tolerate."""

    model_config = fields.rules(
        fields.cel(
            "has(self.key) || self.operator == 'Exists'",
            "a toleration without a key is for every taint: it needs operator Exists",
        ),
        fields.cel(
            "self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "operator Exists asks for no value: leave it out",
        ),
    )
    key: str | None = Field(None, max_length=253, pattern=fields.LABEL_PATTERN, description="The taint's key.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How key and value are compared.")
    value: str | None = Field(None, max_length=63, pattern=fields.LABEL_VALUE_PATTERN, description="The taint's value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(None, description="Which effect.")


class PodTemplate(fields.Block):
    """What every pod of the system gets besides."""

    node_selector: dict[fields.Label, fields.LabelValue] = Field(
        default_factory=dict, max_length=20, description="Labels that the node must have."
    )
    tolerations: list[Toleration] = Field(default_factory=list, max_length=20, description="Tolerated taints.")
    priority_class_name: str | None = Field(
        None, max_length=253, pattern=fields.OBJECT_NAME_PATTERN, description="The PriorityClass."
    )
    image_pull_secrets: Annotated[
        list[fields.ObjectName],
        Field(
            max_length=10,
            json_schema_extra={
                "x-kubernetes-validations": [
                    fields.cel("self.all(name, self.exists_one(other, other == name))", "a Secret is named twice")
                ]
            },
        ),
    ] = Field(default_factory=list, description="Names of Secrets with registry credentials.")
    labels: dict[fields.Label, fields.LabelValue] = Field(
        default_factory=dict, max_length=20, description="Labels besides our own."
    )
    annotations: dict[fields.Label, Annotated[str, Field(max_length=1000)]] = Field(
        default_factory=dict, max_length=20, description="Annotations besides our own."
    )


class ServiceOverride(fields.Block):
    """What one service gets instead of its defaults."""

    enabled: bool = Field(True, description="False stops the service (profile standard).")
    cpu: str | None = Field(
        None, pattern=r"^[1-9][0-9]{0,4}m$", max_length=6, description="CPU request in thousandths, such as 100m."
    )
    memory: str | None = Field(
        None, pattern=r"^[1-9][0-9]{0,5}Mi$", max_length=8, description="Memory request and limit, such as 256Mi."
    )


class CaBundleRef(fields.Block):
    """Certificates in a ConfigMap of the same namespace."""

    name: str = Field(max_length=253, pattern=fields.OBJECT_NAME_PATTERN, description="The ConfigMap's name.")
    key: str = Field(
        "ca.crt", max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="The entry with the certificates, as PEM."
    )


class Network(fields.Block):
    """How the system reaches hosts outside the cluster."""

    proxy: str | None = Field(
        None,
        max_length=300,
        pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$",
        description="An HTTP proxy such as http://proxy.example:3128, through which the data provider is asked.",
    )
    ca_bundle_ref: CaBundleRef | None = Field(
        None,
        description="Certificates of authorities that are trusted in place of the usual ones. On one machine the "
        "variable BELLWETHER_CA_BUNDLE names a file instead.",
    )
