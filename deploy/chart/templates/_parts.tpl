{{- define "ambient.labels" -}}
app.kubernetes.io/name: ambient
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "ambient.selected" -}}
app.kubernetes.io/name: ambient
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ambient.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "ambient.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 30
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Keys stay readable by their owner alone once they are there.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "ambient.placed" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "ambient.container" -}}
image: {{ include "ambient.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
env:
  - { name: AMBIENT_DATA_DIR, value: /var/lib/ambient/node }
{{- end }}

{{- define "ambient.probes" -}}
startupProbe:
  exec: { command: [ambientctl, status, --quiet] }
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 60
# Whether it takes part in the mesh, not only whether it answers.
readinessProbe:
  exec: { command: [ambientctl, status, --ready, --quiet] }
  periodSeconds: 15
  timeoutSeconds: 5
livenessProbe:
  exec: { command: [ambientctl, status, --quiet] }
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 4
{{- end }}

{{- define "ambient.claim" -}}
- metadata: { name: node }
  spec:
    accessModes: [ReadWriteOncePod]
    {{- with .class }}
    storageClassName: {{ . }}
    {{- end }}
    resources: { requests: { storage: {{ .size }} } }
{{- end }}
