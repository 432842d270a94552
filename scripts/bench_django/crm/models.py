"""One model for each table of tenant_migrations/, with the same columns, keys and checks as far as Django has them."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Caller(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    phone = models.TextField(unique=True)
    name = models.TextField(null=True)
    calls_count = models.IntegerField(default=0)
    first_call_at = models.DateTimeField(null=True)
    last_call_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(phone__regex=r"^\+[1-9][0-9]{6,14}$"), name="callers_phone_form")]


class CallerProfile(models.Model):
    caller = models.OneToOneField(Caller, primary_key=True, on_delete=models.CASCADE)
    template_version_id = models.UUIDField()
    data = models.JSONField(default=dict)
    quick_bio = models.TextField(default="")
    revision = models.IntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)


class AgentSettings(models.Model):
    singleton = models.BooleanField(primary_key=True, default=True)
    agent_name = models.TextField()
    voice = models.TextField()
    language = models.TextField()
    new_caller_greeting = models.TextField()
    returning_caller_greeting = models.TextField()
    sliders = models.JSONField(default=dict)
    time_zone = models.TextField()
    vad = models.JSONField(default=dict)
    transfer_rules = models.JSONField(default=list)
    busy_message = models.TextField(null=True)
    revision = models.IntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)


class Call(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    call_sid = models.TextField(unique=True)
    account_sid = models.TextField()
    caller = models.ForeignKey(Caller, null=True, on_delete=models.SET_NULL)
    from_number = models.TextField(null=True)
    to_number = models.TextField()
    state = models.TextField(default="ringing")
    end_reason = models.TextField(null=True)
    started_at = models.DateTimeField()
    connected_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    duration_s = models.IntegerField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(state__in=["ringing", "in_progress", "ended"]), name="calls_state_known")]


class CallTurn(models.Model):
    call = models.ForeignKey(Call, on_delete=models.CASCADE)
    sequence = models.IntegerField()
    speaker = models.TextField()
    text = models.TextField()
    started_ms = models.IntegerField()
    ended_ms = models.IntegerField()
    heard_ms = models.IntegerField(null=True)
    interrupted = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["call", "sequence"], name="call_turns_once"),
            models.CheckConstraint(condition=models.Q(speaker__in=["caller", "agent", "tool", "keypad"]), name="call_turns_speaker_known"),
        ]


class CallEvent(models.Model):
    call = models.ForeignKey(Call, on_delete=models.CASCADE)
    sequence = models.IntegerField()
    at_ms = models.IntegerField()
    leg = models.TextField()
    kind = models.TextField()
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["call", "sequence"], name="call_events_once"),
            models.CheckConstraint(condition=models.Q(leg__in=["carrier", "model", "gateway"]), name="call_events_leg_known"),
        ]


class CallSummary(models.Model):
    call = models.OneToOneField(Call, primary_key=True, on_delete=models.CASCADE)
    summary = models.TextField()
    topics = ArrayField(models.TextField(), default=list)
    sentiment = models.TextField()
    resolution = models.TextField()
    source = models.TextField()
    model = models.TextField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)


class Memory(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    caller = models.ForeignKey(Caller, on_delete=models.CASCADE)
    call = models.ForeignKey(Call, null=True, on_delete=models.SET_NULL)
    kind = models.TextField()
    text = models.TextField()
    text_sha256 = models.BinaryField()
    importance = models.SmallIntegerField(default=3)
    source = models.TextField()
    embed_model = models.TextField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    superseded_by = models.UUIDField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["caller", "text_sha256"], name="memories_once"),
            models.CheckConstraint(condition=models.Q(importance__range=(1, 5)), name="memories_importance_form"),
        ]
