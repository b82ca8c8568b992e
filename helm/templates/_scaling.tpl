{{/* An agent's ScaledObject: as many instances as the lag of its task topics asks for. */}}
{{- define "parley.scaling" -}}
{{- $full := include "parley.name" . -}}
{{- $kafka := .root.Values.kafka -}}
{{- $credentials := include "parley.credentials" . | fromYaml -}}
{{- $scale := .own.autoscaling -}}
{{- $secured := ne $kafka.protocol "PLAINTEXT" -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $full }}
  labels: {{ include "parley.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { name: {{ $full }} }
  minReplicaCount: {{ $scale.min }}
  maxReplicaCount: {{ $scale.max }}
  cooldownPeriod: {{ $scale.cooldownSeconds }}
  triggers:
    {{- range .own.scope.capabilities }}
    - type: kafka
      metadata:
        bootstrapServers: {{ $kafka.bootstrap | quote }}
        consumerGroup: {{ $.root.Values.mesh }}.supervisors
        topic: {{ $.root.Values.mesh }}.tasks.{{ . }}
        lagThreshold: {{ $scale.lag | quote }}
        offsetResetPolicy: earliest
        {{- if hasPrefix "SASL" $kafka.protocol }}
        sasl: {{ get (dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512") $kafka.mechanism }}
        {{- end }}
        tls: {{ hasSuffix "SSL" $kafka.protocol | ternary "enable" "disable" }}
      {{- if $secured }}
      authenticationRef: { name: {{ $full }} }
      {{- end }}
    {{- end }}
{{- if $secured }}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  name: {{ $full }}
  labels: {{ include "parley.labels" . | nindent 4 }}
spec:
  {{- if hasPrefix "SASL" $kafka.protocol }}
  env:
    - { parameter: username, name: MESH_SASL_USERNAME, containerName: agent }
  {{- end }}
  secretTargetRef:
    {{- if hasPrefix "SASL" $kafka.protocol }}
    - { parameter: password, name: {{ $credentials.secret }}, key: {{ $credentials.passwordKey }} }
    {{- else if $credentials.secret }}
    - { parameter: cert, name: {{ $credentials.secret }}, key: {{ $credentials.certificateKey }} }
    - { parameter: key, name: {{ $credentials.secret }}, key: {{ $credentials.keyKey }} }
    {{- end }}
    {{- if $kafka.ca.secret }}
    - { parameter: ca, name: {{ $kafka.ca.secret }}, key: {{ $kafka.ca.key }} }
    {{- end }}
{{- end }}
{{- end }}
