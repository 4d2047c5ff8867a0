{{- define "recsys.name" -}}
{{- if contains "recsys" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-recsys" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "recsys.labels" -}}
app.kubernetes.io/name: recsys
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* of one process: (list $ "api") */ -}}
{{- define "recsys.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: recsys
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "recsys.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "recsys.claim" -}}
{{ .Values.persistence.existingClaim | default (printf "%s-var" (include "recsys.name" .)) }}
{{- end }}

{{- /* what each pod has: no root, no privileges, a root file system that is only read */ -}}
{{- define "recsys.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 60
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {}
  - name: var
    {{- if .Values.persistence.enabled }}
    persistentVolumeClaim:
      claimName: {{ include "recsys.claim" . }}
    {{- else if hasKey .Values.settings "RECSYS_ARTIFACTS__ADDRESS" }}
    emptyDir: {}
    {{- else }}
    {{- fail "without persistence the pods need a store that they share: set settings.RECSYS_ARTIFACTS__ADDRESS" }}
    {{- end }}
{{- end }}

{{- define "recsys.container" -}}
image: {{ include "recsys.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
env:
  - name: RECSYS_ENVIRONMENT
    value: production
  - name: RECSYS_VAR
    value: /var/lib/recsys
  {{- range $name, $value := .Values.settings }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
envFrom:
  - secretRef:
      name: {{ .Values.existingSecret }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: var
    mountPath: /var/lib/recsys
{{- end }}
