{{- define "bellwether.name" -}}
{{- if contains "bellwether" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-bellwether" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}-operator
{{- end }}

{{- /* Of what no namespace holds apart: two releases of one name in two namespaces are two installations. */}}
{{- define "bellwether.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace (include "bellwether.name" .) }}
{{- end }}

{{- define "bellwether.selector" -}}
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/name: bellwether-operator
{{- end }}

{{- define "bellwether.labels" -}}
{{ include "bellwether.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: bellwether
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "bellwether.seedSecret" -}}
{{- .Values.installationSeed.existingSecret | default (printf "%s-seed" (include "bellwether.name" .)) }}
{{- end }}

{{- define "bellwether.operatorImage" -}}
{{- with .Values.image.operator }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "bellwether.servicesImage" -}}
{{- with .Values.image.services }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* What the operator may do to a system and its children: alphabetical, no wildcard, no reading of Secrets. */}}
{{- define "bellwether.rules" -}}
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims, serviceaccounts, services]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [""]
  # Asked for where a pod or a volume was not made: they alone say why.
  resources: [events]
  verbs: [list]
- apiGroups: [""]
  # Watched to say why one does not run: those of systems alone, by label.
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, patch]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [batch]
  # Made once and never changed; what they have become is watched.
  resources: [jobs]
  verbs: [create, delete, list, watch]
- apiGroups: [bellwether.dev]
  # Made by schedule, and removed when they have outlived their use.
  resources: [tradingbackups]
  verbs: [create, delete, get, list, watch]
- apiGroups: [bellwether.dev]
  resources: [tradingbackups/status]
  verbs: [patch]
- apiGroups: [bellwether.dev]
  # Made by people; the operator writes what came of them and nothing else.
  resources: [tradingreplays]
  verbs: [list, watch]
- apiGroups: [bellwether.dev]
  resources: [tradingreplays/status]
  verbs: [patch]
- apiGroups: [bellwether.dev]
  resources: [tradingsystems]
  verbs: [get, list, watch]
- apiGroups: [bellwether.dev]
  # Asked for by admission where owner references block a deletion (OwnerReferencesPermissionEnforcement).
  resources: [tradingsystems/finalizers]
  verbs: [update]
- apiGroups: [bellwether.dev]
  resources: [tradingsystems/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [snapshot.storage.k8s.io]
  # Made for a TradingBackup, read by their names until it has ended, and deleted before it is removed; without one
  # nothing of them is asked for.
  resources: [volumesnapshots]
  verbs: [create, delete, get]
{{- end }}
