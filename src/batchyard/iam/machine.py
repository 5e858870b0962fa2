"""The machine of IAM: roles, managed policies and instance profiles (IAM API reference). Nothing is allowed or refused
by them: they are what infrastructure as code makes and reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, TypeVar

from msgspec.structs import replace

from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.iam import commands as c
from batchyard.iam.records import (
    INSTANCE_PROFILE,
    POLICY,
    ROLE,
    InstanceProfile,
    Policy,
    PolicyVersion,
    Role,
    aws_policy_prefix,
    policy_arn,
)
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine

# IAM quotas (user guide: reference_iam-quotas); where AWS raises one on request, the highest it grants.
MAX_ROLES = 5000
MAX_POLICIES = 5000
MAX_INSTANCE_PROFILES = 5000
MAX_VERSIONS = 5  # of a managed policy
MAX_ATTACHED = 25  # managed policies of a role
MAX_INLINE_CHARACTERS = 10_240  # of all inline policies of a role together, white space not counted
MAX_PROFILES_OF_A_ROLE = 1000
MAX_TAGS = 50

NO_SUCH_ENTITY, EXISTS, CONFLICT = "NoSuchEntity", "EntityAlreadyExists", "DeleteConflict"
LIMIT, UNMODIFIABLE, INVALID, TAKEN = "LimitExceeded", "UnmodifiableEntity", "ValidationError", "InvalidInput"

_AWS_POLICY_NAME = re.compile(r"([\w+=,.@-]+/)*[\w+=,.@-]+", re.ASCII)
Tagged = TypeVar("Tagged", Role, Policy, InstanceProfile)


class IamMachine(DocumentMachine):
    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account
        self._roles = self._table(ROLE, Role, lambda role: role.name)
        self._policies = self._table(POLICY, Policy, lambda policy: policy.name)
        self._profiles = self._table(INSTANCE_PROFILE, InstanceProfile, lambda profile: profile.name)

    # -- roles --

    def _create_role(self, command: c.CreateRole) -> Role:
        if _is_taken(command.name, self._roles):
            if command.is_service_linked:
                raise Refused(
                    f"Service role name {command.name} has been taken in this account, please try a different suffix.",
                    TAKEN,
                )
            raise Refused(f"Role with name {command.name} already exists.", EXISTS)
        _check_room(self._roles, MAX_ROLES, "Roles")
        if command.boundary:
            self._check_attachable(command.boundary)
        return self._roles.put(
            Role(
                command.name,
                command.path,
                command.id,
                self._now_ms,
                command.trust_policy,
                command.description,
                command.max_session_seconds,
                command.boundary,
                attached=command.attached,
                tags=command.tags,
                is_service_linked=command.is_service_linked,
            )
        )

    def _update_role(self, command: c.UpdateRole) -> Role:
        role = self._role(command.name)
        if command.boundary is not None or command.trust_policy is not None or command.max_session_seconds is not None:
            _check_modifiable(role)
        if command.boundary:
            self._check_attachable(command.boundary)
        given = {
            "description": command.description,
            "max_session_seconds": command.max_session_seconds,
            "trust_policy": command.trust_policy,
            "boundary": command.boundary,
        }
        return self._roles.put(replace(role, **{name: value for name, value in given.items() if value is not None}))

    def _delete_role(self, command: c.DeleteRole) -> None:
        role = self._role(command.name)
        if role.is_service_linked != command.is_service_linked:
            if role.is_service_linked:
                _check_modifiable(role)
            raise Refused(f"Role {role.name} is not a service-linked role: use DeleteRole.", TAKEN)
        if not role.is_service_linked:
            if any(profile.role == role.name for profile in self._profiles.values()):
                raise Refused("Cannot delete entity, must remove roles from instance profile first.", CONFLICT)
            if role.attached:
                raise Refused("Cannot delete entity, must detach all policies first.", CONFLICT)
            if role.inline:
                raise Refused("Cannot delete entity, must delete policies first.", CONFLICT)
        self._roles.remove(role.name)

    def _role(self, name: str) -> Role:
        return self._roles.existing(name, f"The role with name {name} cannot be found.", NO_SUCH_ENTITY)

    def _modifiable_role(self, name: str) -> Role:
        role = self._role(name)
        _check_modifiable(role)
        return role

    # -- policies of roles --

    def _put_role_policy(self, command: c.PutRolePolicy) -> None:
        role = self._modifiable_role(command.role)
        inline = {**role.inline, command.name: command.document}
        if sum(len("".join(document.split())) for document in inline.values()) > MAX_INLINE_CHARACTERS:
            raise Refused(f"Maximum policy size of {MAX_INLINE_CHARACTERS} bytes exceeded for role {role.name}", LIMIT)
        self._roles.put(replace(role, inline=inline))

    def _delete_role_policy(self, command: c.DeleteRolePolicy) -> None:
        role = self._modifiable_role(command.role)
        if command.name not in role.inline:
            raise Refused(f"The role policy with name {command.name} cannot be found.", NO_SUCH_ENTITY)
        self._roles.put(
            replace(role, inline={name: text for name, text in role.inline.items() if name != command.name})
        )

    def _attach(self, command: c.AttachRolePolicy) -> None:
        """Attaches a managed policy to a role; one that is attached already stays so."""
        role = self._modifiable_role(command.role)
        self._check_attachable(command.arn)
        if command.arn in role.attached:
            return
        if len(role.attached) >= MAX_ATTACHED:
            raise Refused(f"Cannot exceed quota for PoliciesPerRole: {MAX_ATTACHED}", LIMIT)
        self._roles.put(replace(role, attached=(*role.attached, command.arn)))

    def _detach(self, command: c.DetachRolePolicy) -> None:
        role = self._modifiable_role(command.role)
        if command.arn not in role.attached:
            raise Refused(f"Policy {command.arn} was not found.", NO_SUCH_ENTITY)
        self._roles.put(replace(role, attached=tuple(arn for arn in role.attached if arn != command.arn)))

    def _check_attachable(self, arn: str) -> None:
        """Refuses an ARN that is none of a policy. AWS's own policies are known by the form of their ARNs alone."""
        if not arn.startswith("arn:"):
            raise Refused("Invalid ARN:  Could not be parsed!", INVALID)
        prefix = aws_policy_prefix(self._account)
        is_of_aws = arn.startswith(prefix) and _AWS_POLICY_NAME.fullmatch(arn.removeprefix(prefix))
        if not is_of_aws and self._find_policy(arn) is None:
            raise Refused(f"Policy {arn} does not exist or is not attachable.", NO_SUCH_ENTITY)

    # -- managed policies --

    def _create_policy(self, command: c.CreatePolicy) -> Policy:
        if _is_taken(command.name, self._policies):
            raise Refused(f"A policy called {command.name} already exists. Duplicate names are not allowed.", EXISTS)
        _check_room(self._policies, MAX_POLICIES, "Policies")
        version = PolicyVersion(1, command.document, self._now_ms)
        return self._policies.put(
            Policy(
                command.name,
                command.path,
                command.id,
                self._now_ms,
                self._now_ms,
                (version,),
                description=command.description,
                tags=command.tags,
            )
        )

    def _delete_policy(self, command: c.DeletePolicy) -> None:
        policy = self._policy(command.arn)
        if any(command.arn in (*role.attached, role.boundary) for role in self._roles.values()):
            raise Refused("Cannot delete a policy attached to entities.", CONFLICT)
        if len(policy.versions) > 1:
            raise Refused(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                "versions. The default version is deleted with the policy.",
                CONFLICT,
            )
        self._policies.remove(policy.name)

    def _create_version(self, command: c.CreatePolicyVersion) -> PolicyVersion:
        policy = self._policy(command.arn)
        if len(policy.versions) >= MAX_VERSIONS:
            raise Refused(
                f"A managed policy can have up to {MAX_VERSIONS} versions. Before you create a new version, you must "
                "delete an existing version.",
                LIMIT,
            )
        made = PolicyVersion(policy.last + 1, command.document, self._now_ms)
        default = made.number if command.is_default else policy.default
        versions = (*policy.versions, made)
        self._policies.put(
            replace(policy, versions=versions, last=made.number, default=default, updated_at_ms=self._now_ms)
        )
        return made

    def _delete_version(self, command: c.DeletePolicyVersion) -> None:
        policy, number = self._version(command.arn, command.version)
        if number == policy.default:
            raise Refused("Cannot delete the default version of a policy.", CONFLICT)
        kept = tuple(version for version in policy.versions if version.number != number)
        self._policies.put(replace(policy, versions=kept))

    def _set_default(self, command: c.SetDefaultPolicyVersion) -> None:
        policy, number = self._version(command.arn, command.version)
        self._policies.put(replace(policy, default=number, updated_at_ms=self._now_ms))

    def _version(self, arn: str, version_id: str) -> tuple[Policy, int]:
        policy = self._policy(arn)
        for version in policy.versions:
            if version.id == version_id:
                return policy, version.number
        raise Refused(f"Policy {arn} version {version_id} does not exist or is not attachable.", NO_SUCH_ENTITY)

    def _find_policy(self, arn: str) -> Policy | None:
        policy = self._policies.get(arn.rpartition("/")[2])
        return policy if policy is not None and policy_arn(self._account, policy) == arn else None

    def _policy(self, arn: str) -> Policy:
        """Returns a policy of the account, to be changed: those of AWS can't be."""
        if arn.startswith(aws_policy_prefix(self._account)):
            raise Refused(f"Policy {arn} is of AWS and cannot be changed.", "AccessDenied")
        policy = self._find_policy(arn)
        if policy is None:
            raise Refused(f"Policy {arn} was not found.", NO_SUCH_ENTITY)
        return policy

    # -- instance profiles --

    def _create_profile(self, command: c.CreateInstanceProfile) -> InstanceProfile:
        if _is_taken(command.name, self._profiles):
            raise Refused(f"Instance Profile {command.name} already exists.", EXISTS)
        _check_room(self._profiles, MAX_INSTANCE_PROFILES, "InstanceProfiles")
        return self._profiles.put(
            InstanceProfile(command.name, command.path, command.id, self._now_ms, tags=command.tags)
        )

    def _delete_profile(self, command: c.DeleteInstanceProfile) -> None:
        profile = self._profile(command.name)
        if profile.role:
            raise Refused("Cannot delete entity, must remove roles from instance profile first.", CONFLICT)
        self._profiles.remove(profile.name)

    def _add_role(self, command: c.AddRoleToInstanceProfile) -> None:
        profile, role = self._profile(command.profile), self._modifiable_role(command.role)
        if profile.role:
            raise Refused("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1", LIMIT)
        if sum(one.role == role.name for one in self._profiles.values()) >= MAX_PROFILES_OF_A_ROLE:
            raise Refused(f"Cannot exceed quota for InstanceProfilesPerRole: {MAX_PROFILES_OF_A_ROLE}", LIMIT)
        self._profiles.put(replace(profile, role=role.name))

    def _remove_role(self, command: c.RemoveRoleFromInstanceProfile) -> None:
        profile, role = self._profile(command.profile), self._role(command.role)
        if profile.role != role.name:
            raise Refused(f"Role {role.name} is not in instance profile {profile.name}.", NO_SUCH_ENTITY)
        self._profiles.put(replace(profile, role=""))

    def _profile(self, name: str) -> InstanceProfile:
        return self._profiles.existing(name, f"Instance Profile {name} cannot be found.", NO_SUCH_ENTITY)

    # -- tags --

    def _tag_role(self, command: c.TagRole) -> None:
        self._roles.put(_tagged(self._role(command.name), command))

    def _tag_policy(self, command: c.TagPolicy) -> None:
        self._policies.put(_tagged(self._policy(command.arn), command))

    def _tag_profile(self, command: c.TagInstanceProfile) -> None:
        self._profiles.put(_tagged(self._profile(command.name), command))

    # -- questions --

    def _ask_role(self, command: c.AskRole) -> Role | None:
        return self._roles.get(command.name)

    def _ask_roles(self, command: c.AskRoles) -> tuple[Role, ...]:
        return self._roles.in_order()

    def _ask_policies(self, command: c.AskPolicies) -> tuple[Policy, ...]:
        return self._policies.in_order()

    def _ask_profiles(self, command: c.AskInstanceProfiles) -> tuple[InstanceProfile, ...]:
        return self._profiles.in_order()

    command_handlers: ClassVar[CommandHandlers] = {
        c.CreateRole: _create_role,
        c.UpdateRole: _update_role,
        c.DeleteRole: _delete_role,
        c.PutRolePolicy: _put_role_policy,
        c.DeleteRolePolicy: _delete_role_policy,
        c.AttachRolePolicy: _attach,
        c.DetachRolePolicy: _detach,
        c.CreatePolicy: _create_policy,
        c.DeletePolicy: _delete_policy,
        c.CreatePolicyVersion: _create_version,
        c.DeletePolicyVersion: _delete_version,
        c.SetDefaultPolicyVersion: _set_default,
        c.CreateInstanceProfile: _create_profile,
        c.DeleteInstanceProfile: _delete_profile,
        c.AddRoleToInstanceProfile: _add_role,
        c.RemoveRoleFromInstanceProfile: _remove_role,
        c.TagRole: _tag_role,
        c.TagPolicy: _tag_policy,
        c.TagInstanceProfile: _tag_profile,
        c.AskRole: _ask_role,
        c.AskRoles: _ask_roles,
        c.AskPolicies: _ask_policies,
        c.AskInstanceProfiles: _ask_profiles,
    }


def _is_taken(name: str, known: Mapping[str, object]) -> bool:
    """Whether a name is in use; names that differ in case alone are one name to IAM."""
    return name in known or name.lower() in map(str.lower, known)


def _check_room(known: Mapping[str, object], most: int, quota: str) -> None:
    if len(known) >= most:
        raise Refused(f"Cannot exceed quota for {quota}PerAccount: {most}", LIMIT)


def _check_modifiable(role: Role) -> None:
    if role.is_service_linked:
        raise Refused(
            f"Cannot perform the operation on the protected role '{role.name}' - this role is only modifiable by AWS",
            UNMODIFIABLE,
        )


def _tagged(resource: Tagged, command: c.TagRole | c.TagPolicy | c.TagInstanceProfile) -> Tagged:
    """Returns the resource with its tags changed. A key that differs in case alone replaces the other, as on AWS."""
    gone = {key.lower() for key in (*command.removed, *command.tags)}
    tags = {**{key: value for key, value in resource.tags.items() if key.lower() not in gone}, **command.tags}
    if len(tags) > MAX_TAGS:
        raise Refused(f"The number of tags has reached the maximum limit: {MAX_TAGS}.", LIMIT)
    return replace(resource, tags=tags)
