{{- define "parley.fullname" -}}
{{- if contains "parley" .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-parley" .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{/* Of (root, name): the name of a part, within the 63 characters of a label. */}}
{{- define "parley.name" -}}
{{ printf "%s-%s" (include "parley.fullname" .root) .name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "parley.common" -}}
app.kubernetes.io/name: parley
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of (root, name, kind): what selects the pods of a part; these never change. */}}
{{- define "parley.selector" -}}
{{ include "parley.common" .root }}
app.kubernetes.io/component: {{ .kind }}
{{- if eq .kind "agent" }}
parley/agent: {{ .name }}
{{- end }}
{{- end }}

{{- define "parley.labels" -}}
{{ include "parley.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
parley/mesh: {{ .root.Values.mesh }}
{{- end }}

{{- define "parley.image" -}}
{{- $image := mergeOverwrite (deepCopy .root.Values.image) (.own.image | default dict) -}}
{{- if $image.digest -}}{{ $image.repository }}@{{ $image.digest }}
{{- else -}}{{ $image.repository }}:{{ $image.tag | default .root.Chart.AppVersion }}{{- end -}}
{{- end }}

{{/* The credentials of a part, as YAML: its own over those of all; with another secret comes another user. */}}
{{- define "parley.credentials" -}}
{{- $given := .own.credentials | default dict -}}
{{- $all := deepCopy .root.Values.credentials -}}
{{- if $given.secret }}{{ $all = unset $all "username" }}{{ end -}}
{{- $own := mergeOverwrite $all $given -}}
{{- $protocol := .root.Values.kafka.protocol -}}
{{- if and (ne $protocol "PLAINTEXT") (not $own.secret) (hasPrefix "SASL" $protocol) -}}
{{- fail (printf "%s: kafka.protocol is %s, so a user is needed: name a secret in credentials, or in its own" .name $protocol) -}}
{{- end -}}
{{- if and (hasPrefix "SASL" $protocol) (not (or $own.username $own.usernameKey)) -}}
{{- fail (printf "%s: credentials name no user: give username, or the usernameKey of the secret" .name) -}}
{{- end -}}
{{ toYaml $own }}
{{- end }}

{{- define "parley.environment" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $credentials := include "parley.credentials" . | fromYaml -}}
- { name: MESH_BOOTSTRAP, value: {{ required "kafka.bootstrap: say where the brokers are" $kafka.bootstrap | quote }} }
- { name: MESH_NAME, value: {{ .root.Values.mesh | quote }} }
- { name: MESH_SECURITY_PROTOCOL, value: {{ $kafka.protocol }} }
{{- if $kafka.ca.secret }}
- { name: MESH_CA_LOCATION, value: /etc/parley/ca/{{ $kafka.ca.key }} }
{{- end }}
{{- if hasPrefix "SASL" $kafka.protocol }}
- { name: MESH_SASL_MECHANISM, value: {{ $kafka.mechanism }} }
- name: MESH_SASL_USERNAME
  {{- if $credentials.username }}
  value: {{ $credentials.username | quote }}
  {{- else }}
  valueFrom: { secretKeyRef: { name: {{ $credentials.secret }}, key: {{ $credentials.usernameKey }} } }
  {{- end }}
- { name: MESH_SASL_PASSWORD_FILE, value: /etc/parley/credentials/{{ $credentials.passwordKey }} }
{{- else if and (eq $kafka.protocol "SSL") $credentials.secret }}
- { name: MESH_CERTIFICATE_LOCATION, value: /etc/parley/credentials/{{ $credentials.certificateKey }} }
- { name: MESH_KEY_LOCATION, value: /etc/parley/credentials/{{ $credentials.keyKey }} }
{{- end }}
{{- range $name, $value := .root.Values.settings }}
- { name: MESH_SET_{{ $name | upper }}, value: {{ toJson $value | quote }} }
{{- end }}
{{- range $name, $value := .root.Values.partitions }}
- { name: MESH_PARTITIONS_{{ $name | upper }}, value: {{ $value | quote }} }
{{- end }}
{{- range $name, $value := .own.env }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- range $name, $from := .own.secrets }}
- { name: {{ $name }}, valueFrom: { secretKeyRef: { name: {{ $from.secret }}, key: {{ $from.key }} } } }
{{- end }}
{{- end }}

{{- define "parley.mounts" -}}
{{- $credentials := include "parley.credentials" . | fromYaml -}}
- { name: artifacts, mountPath: /var/lib/parley/artifacts }
{{- if .root.Values.kafka.ca.secret }}
- { name: ca, mountPath: /etc/parley/ca, readOnly: true }
{{- end }}
{{- if $credentials.secret }}
- { name: credentials, mountPath: /etc/parley/credentials, readOnly: true }
{{- end }}
{{- if eq .kind "dashboard" }}
- { name: tokens, mountPath: /etc/parley/tokens, readOnly: true }
{{- end }}
{{- end }}

{{- define "parley.volumes" -}}
{{- $credentials := include "parley.credentials" . | fromYaml -}}
{{- $artifacts := .root.Values.artifacts -}}
- name: artifacts
  {{- if and (or $artifacts.claim $artifacts.create) (ne .kind "topics") }}
  persistentVolumeClaim: { claimName: {{ $artifacts.claim | default (include "parley.name" (dict "root" .root "name" "artifacts")) }} }
  {{- else }}
  emptyDir: { sizeLimit: 1Gi }
  {{- end }}
{{- if .root.Values.kafka.ca.secret }}
- name: ca
  secret: { secretName: {{ .root.Values.kafka.ca.secret }}, defaultMode: 0440 }
{{- end }}
{{- if $credentials.secret }}
- name: credentials
  secret: { secretName: {{ $credentials.secret }}, defaultMode: 0440 }
{{- end }}
{{- if eq .kind "dashboard" }}
- name: tokens
  secret: { secretName: {{ .own.tokens.secret }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{/* What holds for every pod: no token, no root, no right, no service variables (MESH_ would be ours). */}}
{{- define "parley.pod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.podSecurity.user }}
  runAsGroup: {{ .root.Values.podSecurity.group }}
  fsGroup: {{ .root.Values.podSecurity.group }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .own.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .own.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "parley.container" -}}
image: {{ include "parley.image" . | quote }}
imagePullPolicy: {{ (.own.image | default dict).pullPolicy | default .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
env: {{ include "parley.environment" . | nindent 2 }}
resources: {{ toYaml .own.resources | nindent 2 }}
volumeMounts: {{ include "parley.mounts" . | nindent 2 }}
{{- end }}

{{/* Of (root, name, kind, own, args): a workload that serves, with all that belongs to it. */}}
{{- define "parley.workload" -}}
{{- $full := include "parley.name" . -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $full }}
  labels: {{ include "parley.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $full }}
  labels: {{ include "parley.labels" . | nindent 4 }}
spec:
  {{- if not (.own.autoscaling | default dict).enabled }}
  replicas: {{ .own.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels: {{ include "parley.selector" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
  template:
    metadata:
      labels: {{ include "parley.labels" . | nindent 8 }}
      {{- with .own.podAnnotations }}
      annotations: {{ toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "parley.pod" (merge (dict "account" $full) .) | nindent 6 }}
      terminationGracePeriodSeconds: {{ add .own.drainSeconds 10 }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{ include "parley.selector" . | nindent 14 }}
      containers:
        - name: {{ .kind }}
          args: {{ toJson .args }}
          {{- include "parley.container" . | nindent 10 }}
          ports:
            - { name: health, containerPort: 8470, protocol: TCP }
            {{- if eq .kind "dashboard" }}
            - { name: http, containerPort: 8480, protocol: TCP }
            {{- end }}
          # Two minutes to reach the brokers and read what must be known; then it is started again.
          startupProbe:
            httpGet: { path: /readyz, port: health }
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 60
          # Its loop answers, or it is stuck.
          livenessProbe:
            httpGet: { path: /healthz, port: health }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          # Registered, and its partitions asked for.
          readinessProbe:
            httpGet: { path: /readyz, port: health }
            periodSeconds: 5
            timeoutSeconds: 2
            failureThreshold: 2
      volumes: {{ include "parley.volumes" . | nindent 8 }}
{{- if .root.Values.disruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $full }}
  labels: {{ include "parley.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{ include "parley.selector" . | nindent 6 }}
{{- end }}
{{- end }}
